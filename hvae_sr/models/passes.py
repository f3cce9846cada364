"""What a latent variable model is: two passes over a hierarchy of latents, and a likelihood."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.distributions import Likelihood
from hvae_sr.nn.images import check_images
from hvae_sr.nn.latents import LatentSample, LatentSource
from hvae_sr.nn.layers import within
from hvae_sr.nn.resize import enlarge
from hvae_sr.nn.starts import FromConstant, FromLR

if TYPE_CHECKING:
    from hvae_sr.models.latent import GenerativeModel


@dataclass
class Level:
    """One resolution of a hierarchy, as data.

    Args:
        width: channels of the state.
        groups: number of latent groups.
        blocks: residual cells of the bottom-up pass.
        factor: how many times finer than the level above, along each side.
    """

    width: int
    groups: int
    blocks: int
    factor: int

    def __post_init__(self) -> None:
        within("groups", self.groups)


@dataclass
class Start:
    """Where a top-down pass starts.

    Args:
        state: (N, width, h, w) at the coarsest level.
        base: the image that the likelihood's means are offsets from, (N, 3, H, W) in [-1, 1].
    """

    state: Tensor
    base: Tensor


@dataclass
class Activations:
    """What the bottom-up pass says of a batch of images.

    Args:
        start: where the top-down pass starts.
        levels: features, each (N, width, h, w), by the index of the level; by that of the latent,
            coarse to fine, where each latent has features of its own.
        of_lr: the same of the LR images, for a model of these too.
    """

    start: Start
    levels: dict[int, Tensor]
    of_lr: "Activations | None" = None


@dataclass
class Features:
    """What a top-down pass says of its images.

    Args:
        state: the last state, (N, width, h, w).
        raw: parameters of the likelihood, (N, channels, H, W).
        base: see `Start`.
        of_lr: the same of the LR images, for a model of these too.
    """

    state: Tensor
    raw: Tensor
    base: Tensor
    of_lr: "Features | None" = None


class LatentVariableModel(SuperResolutionModel, registered=False):
    """The passes and the likelihood of p(x | y), or of p(x) when it starts from a constant.

    A paper sets the attributes below and writes `bottom_up` and `top_down`; when more than x is
    observed, `log_likelihood` too. `GenerativeModel` says what follows from them.
    """

    is_stochastic = True
    is_joint: ClassVar[bool] = False  # whether its bound and its samples are of x and y together
    start: FromLR | FromConstant
    likelihood: Likelihood
    levels: list[Level]
    reduction: int  # HR pixels per pixel of the coarsest level
    enlargement: str  # interpolation of the LR image
    lr_prior: "GenerativeModel | None"  # p(y)
    base_model: SuperResolutionModel | None  # whose image the means are offsets from

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """HR images (N, 3, H, W) in [0, 1] and their LR versions -> what posteriors see of them."""
        raise NotImplementedError

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """From the coarsest latent to the image.

        Args:
            lr: LR images (N, 3, h, w) in [0, 1], None for models without one.
            activations: of the images to encode; None draws from the prior.
            source: of the latents.
        """
        raise NotImplementedError

    def start_from(self, lr: Tensor | None, shape: tuple[int, int, int] | None) -> Start:
        """First top-down state and base image, of an LR image or of images of a shape (N, H, W).

        Raises:
            ValueError: when neither says how large the images are.
        """
        if not self.is_conditional:
            if shape is None and lr is not None:
                shape = (len(lr), lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)
            if shape is None:
                raise ValueError("this model needs to know how large its images are")
            n, height, width = shape
            state = self.start(lr, (n, height // self.reduction, width // self.reduction))
            return Start(state, torch.zeros(n, 3, height, width, device=self.device))
        if lr is None:
            raise ValueError("this model needs an LR image")
        if self.base_model is not None:
            base = self.base_model(lr)
        else:
            base = enlarge(lr, self.scale, self.enlargement)
        return Start(self.start(lr, (len(lr), lr.shape[-2], lr.shape[-1])), 2 * base - 1)

    def check_pair(self, hr: Tensor, lr: Tensor | None) -> None:
        """Refuse images that are not an HR batch and its LR version.

        Args:
            hr, lr: see `bottom_up`.

        Raises:
            TypeError: for what is not a tensor of floating-point values.
            ValueError: for shapes that do not belong together, and for sides of `hr` that are not
                multiples of what the levels need.
        """
        check_images("hr", hr)
        n, _, height, width = hr.shape
        if height % self.reduction or width % self.reduction:
            raise ValueError(
                f"hr must have sides that are multiples of {self.reduction}, not {width}x{height}"
            )
        if lr is None:
            if self.is_conditional:
                raise ValueError("this model is conditional: give the LR images, lr, too")
            return
        check_images("lr", lr)
        wanted = (n, 3, height // self.scale, width // self.scale)
        if self.is_conditional and tuple(lr.shape) != wanted:
            raise ValueError(f"lr must be {wanted} beside this hr, not {tuple(lr.shape)}")

    @property
    def shown_channels(self) -> int:
        """Channels of what an encoder is shown, see `begin_bottom_up`."""
        return 6 if self.is_conditional else 3

    def begin_bottom_up(self, hr: Tensor, lr: Tensor | None) -> tuple[Start, Tensor]:
        """Where the top-down pass is to start, and what an encoder is shown of the images.

        Args:
            hr, lr: see `bottom_up`.

        Returns:
            The start, and x in [-1, 1], (N, 3, H, W); a conditional model's encoder is shown x
            beside its difference from the base image, (N, 6, H, W).
        """
        start, x = self.start_from(lr, (len(hr), hr.shape[-2], hr.shape[-1])), 2 * hr - 1
        return start, torch.cat([x, x - start.base], dim=1) if self.is_conditional else x

    def begin(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Start, dict[int, Tensor]]:
        """Where a top-down pass starts and what it sees of x, repeated for each of its draws.

        Args:
            lr, activations, source: see `top_down`.

        Returns:
            First state and base image, (N S, ...), and features (N S, ...) by the index that
            `Activations.levels` has; none without activations.
        """
        start = activations.start if activations is not None else self.start_from(lr, source.shape)
        features = activations.levels if activations is not None else {}
        repeated = {index: source.repeat(each) for index, each in features.items()}
        return Start(source.repeat(start.state), source.repeat(start.base)), repeated

    def log_likelihood(self, features: Features, hr: Tensor, lr: Tensor | None) -> Tensor:
        """Log-likelihood of everything observed, in nats per image: (N,)."""
        return self.likelihood.log_prob(features.raw, features.base, 2 * hr - 1)

    def mean(self, features: Features) -> Tensor:
        """The likelihood's expected image (N, 3, H, W), in [0, 1] but for overshoots."""
        return (self.likelihood.mean(features.raw, features.base) + 1) / 2

    def variance(self, features: Features) -> Tensor:
        """The likelihood's variance of each value (N, 3, H, W), images in [0, 1]."""
        return self.likelihood.variance(features.raw, features.base) / 4

    def image(self, features: Features, source: LatentSource) -> Tensor:
        """What a pass decodes to (N, 3, H, W): see `LatentSource.decode`.

        A draw has 8-bit values; at temperature 0 (of the finest level) nothing is drawn.
        """
        temperature = source.temperature_at(-1)
        if source.decode == "mean" or temperature == 0:
            return self.mean(features)
        x = self.likelihood.sample(features.raw, features.base, source.noise, temperature)
        return (x + 1) / 2

    @property
    def groups(self) -> int:
        """How many latents `encode` returns."""
        return sum(level.groups for level in self.levels)

    @property
    def size_multiple(self) -> int:
        """LR pixels per pixel of the coarsest level; 1 unless levels are coarser than LR."""
        return max(1, self.reduction // self.scale)
