"""What every VAE can do, derived once from what a paper is.

A paper writes two passes and a likelihood:

    bottom_up(hr, lr) -> activations               what the encoder says of the images
    top_down(lr, activations or None, source)      one pass for posterior, prior and given latents
        -> features, [LatentSample]
    log_likelihood(features, hr, lr) -> nats       of everything observed

From these follow, here, for all papers alike: the ELBO, the importance-weighted bound, training,
samples, encoding and decoding, and which latent units are active.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.errors import ModelError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.registry import find
from hvae_sr.nn.distributions import Likelihood, bits_per_dim
from hvae_sr.nn.latents import Decode, LatentSample, LatentSource, Temperature
from hvae_sr.nn.layers import within
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import checked_enlargement, enlarge, quantise
from hvae_sr.nn.starts import FromConstant, FromLR

ACTIVE = 0.01  # variance over images from which a latent unit counts as active
ACTIVITY_DRAWS = 16  # of what lies above a latent, over which its shift is averaged


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
        of_lr: what is said of the LR images, by a model that describes these too.
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
        of_lr: what is said of the LR images, by a model that describes these too.
    """

    state: Tensor
    raw: Tensor
    base: Tensor
    of_lr: "Features | None" = None


@dataclass
class ELBO:
    """One evaluation of the bound; all in nats per image, (N,).

    Args:
        distortion: -log p of what is observed, given the latents of one posterior draw.
        latents: what each latent drew, coarse to fine.
        features: what was decoded; see `GenerativeModel.mean`.
    """

    distortion: Tensor
    latents: list[LatentSample]
    features: Features

    @property
    def rates(self) -> list[Tensor]:
        """KL of each latent, coarse to fine."""
        return [latent.kl for latent in self.latents]

    @property
    def rate(self) -> Tensor:
        return torch.stack(self.rates).sum(dim=0)

    @property
    def value(self) -> Tensor:
        """The bound itself: -distortion - rate."""
        return -self.distortion - self.rate

    @property
    def log_importance_weight(self) -> Tensor:
        """log p(x, z | y) - log q(z | x, y) of the drawn z, over every latent, in nats: (N,).

        Its log-mean-exp over draws is the bound of Burda et al. 2016.
        """
        ratio = torch.zeros_like(self.distortion)
        for latent in self.latents:
            assert latent.posterior is not None
            gap = latent.prior.log_prob(latent.z) - latent.posterior.log_prob(latent.z)
            ratio = ratio + gap.sum(dim=(1, 2, 3))
        return ratio - self.distortion


class GenerativeModel(SuperResolutionModel):
    """A latent variable model p(x | y), or p(x) when it starts from a constant.

    Subclasses set `start`, `likelihood`, `levels` and `reduction`, and write `bottom_up` and
    `top_down`.

    Args:
        scale, degradation: see `SuperResolutionModel`.
        lr_prior: config of the model p(y) that `sample` draws LR images from, or None. Since y is
            a function of x, log p(x) = log p(y) + log p(x | y) exactly.
        base_model: config of the deterministic network whose image the means are offsets from, or
            None for interpolation. The latents then describe what regression cannot know.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    is_stochastic = True
    is_joint: ClassVar[bool] = False  # whether its bound and its samples are of x and y together
    start: FromLR | FromConstant
    likelihood: Likelihood
    levels: list[Level]
    reduction: int  # HR pixels per pixel of the coarsest level

    def __init__(
        self,
        scale: int,
        degradation: str,
        lr_prior: dict[str, Any] | None,
        base_model: dict[str, Any] | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        self.lr_prior = _prior_of_lr(lr_prior) if lr_prior is not None else None
        self.base_model = self._checked_base(base_model) if base_model is not None else None

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

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the image at temperature 0, (N, 3, H, W)."""
        return self.draw(lr, 1, 0.0, Noise())[:, 0]

    def elbo(self, hr: Tensor, lr: Tensor | None = None, noise: Noise | None = None) -> ELBO:
        """One posterior draw and its terms of the bound.

        Args:
            hr: (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255.
            lr: its LR version; left out by models that start from a constant.
            noise: source of the posterior draw.
        """
        return next(self.elbos(hr, lr, noise))

    def elbos(
        self, hr: Tensor, lr: Tensor | None = None, noise: Noise | None = None, draws: int = 1
    ) -> Iterator[ELBO]:
        """Several posterior draws of the same images, one after another; see `elbo`."""
        activations = self.bottom_up(hr, lr)
        noise = noise or Noise()
        for _ in range(draws):
            features, latents = self.top_down(lr, activations, LatentSource(noise))
            yield ELBO(-self.log_likelihood(features, hr, lr), latents, features)

    def importance_weighted(
        self, hr: Tensor, lr: Tensor | None = None, *, draws: int, noise: Noise | None = None
    ) -> Tensor:
        """The importance-weighted bound of Burda et al. 2016 with `draws` draws, in nats: (N,)."""
        weights = [bound.log_importance_weight for bound in self.elbos(hr, lr, noise, draws)]
        return torch.stack(weights).logsumexp(dim=0) - math.log(draws)

    def loss(
        self,
        hr: Tensor,
        lr: Tensor | None = None,
        *,
        beta: float = 1.0,
        free_bits: float = 0.0,
        mse_weight: float = 0.0,
        prior_weight: float = 0.0,
    ) -> dict[str, Tensor]:
        """Beta-ELBO in bits per dimension of `hr`, with optional terms.

        Args:
            hr, lr: see `elbo`.
            beta: weight of the rate (Higgins et al. 2017).
            free_bits: bits per dimension each latent may use at no cost (Kingma et al. 2016).
            mse_weight: weight of the reconstruction's mean squared error, images in [0, 1].
            prior_weight: weight of the error of the image decoded from the prior at
                temperature 0, on half the batch (Sohn et al. 2015); it keeps the prior path as
                good as a regression network. The unit is bits: 0.5 log2 of the squared error.
        """
        bound = self.elbo(hr, lr)
        distortion = bits_per_dim(bound.distortion, hr).mean()
        rates = torch.stack([bits_per_dim(rate, hr).mean() for rate in bound.rates])
        shares = self.rate_weights(torch.stack(bound.rates, dim=1).detach(), beta)
        objective = distortion + beta * (shares * rates.clamp_min(free_bits)).sum()
        terms = {
            "bits_per_dim": (distortion + rates.sum()).detach(),
            "distortion": distortion.detach(),
            "rate": rates.sum().detach(),
        }
        if mse_weight:
            error = F.mse_loss(self.mean(bound.features), hr)
            objective = objective + mse_weight * error
            terms["mse"] = error.detach()
        if prior_weight:
            half = hr[: (hr.shape[0] + 1) // 2]
            shape = (len(half), half.shape[-2], half.shape[-1])
            source = LatentSource(temperature=0.0, shape=shape)
            features, _ = self.top_down(lr[: len(half)] if lr is not None else None, None, source)
            error = F.mse_loss(self.mean(features), half)
            objective = objective + prior_weight * 0.5 * error.log2()
            terms["psnr_prior"] = -10 * error.detach().log10()
        return {"loss": objective, **terms}

    def rate_weights(self, rates: Tensor, beta: float) -> Tensor:
        """Weights of the latents' rates in `loss`, beside `beta`: (latents,); all 1 here.

        Args:
            rates: in nats, (N, latents), coarse to fine.
            beta: weight of the whole rate.
        """
        return torch.ones_like(rates[0])

    def draw(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """LR (N, 3, h, w) -> (N, num_samples, 3, H, W); LR features are computed once.

        A model that starts from a constant sees y only through its encoder: it encodes the
        enlargement and decodes draws of that posterior, as the study did.

        Args:
            decode: `mean`: E[x | z, y] of the drawn z; `sample`: x is drawn from p(x | z, y) too,
                and only that, at temperature 1, is a sample of p(x | y).
        """
        source = self._source(temperature, noise, num_samples=num_samples, decode=decode)
        image = self.image(self._pass(lr, source), source)
        return image.unflatten(0, (-1, num_samples))

    def draw_with_variance(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """`draw`, then mean and variance of the likelihood: (N, num_samples, 9, H, W)."""
        source = self._source(temperature, noise, num_samples=num_samples, decode=decode)
        features = self._pass(lr, source)
        parts = [self.image(features, source), self.mean(features), self.variance(features)]
        return torch.cat(parts, dim=1).unflatten(0, (-1, num_samples))

    def _pass(self, lr: Tensor, source: LatentSource) -> Features:
        if self.degradation is None:
            raise ValueError("a model of LR images has nothing to upscale")
        activations = None
        if not self.is_conditional:
            activations = self.bottom_up(quantise(enlarge(lr, self.scale, self.enlargement)))
        return self.top_down(lr, activations, source)[0]

    @torch.inference_mode()
    def reconstruct(self, hr: Tensor, lr: Tensor | None = None) -> Tensor:
        """Encode an image to its posterior means and decode it again: (N, 3, H, W)."""
        features, _ = self.top_down(lr, self.bottom_up(hr, lr), self._source(0.0))
        return self.mean(features).clamp(0, 1)

    @torch.inference_mode()
    def encode(
        self,
        hr: Tensor,
        lr: Tensor | None = None,
        *,
        temperature: Temperature = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Tensor]:
        """HR (N, 3, H, W) and its LR version -> posterior latents, coarse to fine."""
        source = self._source(temperature, Noise(generator if generator is not None else seed))
        _, latents = self.top_down(lr, self.bottom_up(hr, lr), source)
        return [latent.z for latent in latents]

    @torch.inference_mode()
    def decode(
        self,
        latents: Sequence[Tensor],
        lr: Tensor | None = None,
        *,
        temperature: Temperature = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        decode: Decode = "mean",
    ) -> Tensor:
        """Latents, coarse to fine -> images (N, 3, H, W); missing ones come from the prior.

        Args:
            latents: as `encode` returns them, or only the first few.
            lr: the LR image, unless the model starts from a constant.
            temperature: for the latents drawn here; one number, or one per level.
            decode: see `draw`.

        Raises:
            ValueError: when there are more latents than groups, or neither latents nor `lr`.
        """
        if len(latents) > self.groups:
            raise ValueError(f"{len(latents)} latents given, the model has {self.groups} groups")
        shape = self._shape_of(latents) if lr is None and not self.is_conditional else None
        if lr is None and shape is None:
            raise ValueError("decode needs the LR image, or latents of an unconditional model")
        noise = Noise(generator if generator is not None else seed)
        source = self._source(temperature, noise, given=latents, shape=shape, decode=decode)
        features, _ = self.top_down(lr, None, source)
        return self.image(features, source).clamp(0, 1)

    @torch.inference_mode()
    def sample(
        self,
        num_samples: int,
        *,
        size: tuple[int, int] = (32, 32),
        temperature: Temperature = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        noise: Noise | None = None,
        decode: Decode = "mean",
    ) -> Tensor:
        """Unconditional samples: y from p(y), rounded to 8 bits, then x from p(x | y).

        Args:
            num_samples: how many.
            size: (height, width) of the images.
            temperature: one number, or one per level of p(x | y) (p(y) then takes the first).
            seed, generator: what the draws come from.
            noise: where the draws come from instead, one for each latent in turn, those of p(y)
                first: to mix or interpolate the draws of several samples.
            decode: `mean` decodes drawn latents to their expected images, y too; `sample` draws
                both images from their likelihoods, and only that, at temperature 1, is a sample
                of p(x).

        Returns:
            (num_samples, 3, *size) in [0, 1].

        Raises:
            ModelError: when the model is conditional and has no p(y).
            ValueError: when the size is not a multiple of what the levels need.
        """
        if noise is None:
            noise = Noise(generator if generator is not None else seed)
        height, width = size
        source = self._source(temperature, noise, shape=(num_samples, height, width), decode=decode)
        lr = None
        step = self.scale * self.size_multiple if self.is_conditional else self.reduction
        if height % step or width % step:
            raise ValueError(f"size must be a multiple of {step}, not {size}")
        if self.is_conditional and not self.is_joint:
            if self.lr_prior is None:
                raise ModelError("this model has no p(y) to draw LR images from: give it one")
            lr = quantise(
                self.lr_prior.sample(
                    num_samples,
                    size=(height // self.scale, width // self.scale),
                    temperature=source.temperature_at(0),
                    noise=noise,
                    decode=decode,
                )
            )
        features, _ = self.top_down(lr, None, source)
        return self.image(features, source).clamp(0, 1)

    def _shape_of(self, latents: Sequence[Tensor]) -> tuple[int, int, int] | None:
        """(N, H, W) of the images that the first of the latents belongs to, if there is one."""
        if not latents:
            return None
        first = next(index for index, level in enumerate(self.levels) if level.groups)
        finer = math.prod(level.factor for level in self.levels[: first + 1])
        n, _, height, width = latents[0].shape
        scale = self.reduction // finer
        return n, height * scale, width * scale

    def _source(
        self,
        temperature: Temperature,
        noise: Noise | None = None,
        *,
        given: Sequence[Tensor] = (),
        num_samples: int = 1,
        shape: tuple[int, int, int] | None = None,
        decode: Decode = "mean",
    ) -> LatentSource:
        levels = len(self.levels)
        if not isinstance(temperature, int | float) and len(temperature) != levels:
            raise ValueError(f"give one temperature, or one for each of the {levels} levels")
        return LatentSource(
            noise,
            temperature=temperature,
            given=given,
            num_samples=num_samples,
            shape=shape,
            decode=decode,
        )

    def with_lr_prior(self, prior: "GenerativeModel") -> Self:
        """The same model with `prior` as its p(y); weights are shared, not copied.

        Raises:
            ModelError: when `prior` is no unconditional model of the LR picture itself, or this
                model has a p(y) of its own.
        """
        if "lr_prior" not in self.config:
            raise ModelError(f"a {type(self).__name__} has its own p(y)")
        if prior.is_conditional or prior.scale != 1:
            raise ModelError("a model of LR pictures has scale 1 and starts from a constant")
        joined = type(self)(**{**self.config, "lr_prior": prior.full_config})
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("lr_prior.")}
        state |= {f"lr_prior.{key}": value for key, value in prior.state_dict().items()}
        joined.load_state_dict(state, assign=True)
        return joined.train(self.training)

    def _checked_base(self, config: dict[str, Any]) -> SuperResolutionModel:
        network = _nested(config)
        if isinstance(network, GenerativeModel):
            raise ValueError("base_model: a deterministic model is needed")
        if (network.scale, network.degradation) != (self.scale, self.degradation):
            raise ValueError("base_model: a network of the same scale and degradation is needed")
        return network.requires_grad_(False)


class ActiveUnits:
    """Counts active units over images, from running sums.

    A unit is one latent number, a channel at a place. It is active when the shift of its
    posterior, (posterior mean - prior mean) / prior std, averaged over draws of what lies above,
    varies over images by more than 0.01: a posterior that follows its prior is not active, however
    far both move (after Burda et al. 2016, whose priors stand still).
    """

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.comparable = True

    def add(self, shifts: list[Tensor]) -> None:
        """Mean shifts of a batch of images: (N, latent, H, W) for each latent."""
        shifts = [shift.double() for shift in shifts]
        sums, squares = [s.sum(dim=0) for s in shifts], [s.square().sum(dim=0) for s in shifts]
        if self.count and [s.shape for s in sums] != [s.shape for s in self.sums]:
            self.comparable = False
        if self.comparable:
            self.sums = summed(self.sums, sums)
            self.squares = summed(self.squares, squares)
        self.count += len(shifts[0]) if shifts else 0

    @property
    def units(self) -> list[list[int]]:
        """Shape of each latent; nothing when images differ in size."""
        return [list(total.shape) for total in self.sums] if self.comparable else []

    @property
    def active(self) -> list[int]:
        """How many units of each latent are active; nothing when images differ in size."""
        if not self.comparable:
            return []
        variances = [
            square / self.count - (total / self.count).square()
            for total, square in zip(self.sums, self.squares, strict=True)
        ]
        return [int((variance > ACTIVE).sum()) for variance in variances]


def mean_shifts(bounds: Iterable[ELBO]) -> list[Tensor]:
    """(posterior mean - prior mean) / prior std of each latent, averaged over draws."""
    sums: list[Tensor] = []
    draws = 0
    for bound in bounds:
        sums = summed(sums, [_shift(latent) for latent in bound.latents])
        draws += 1
    return [total / draws for total in sums]


def _shift(latent: LatentSample) -> Tensor:
    assert latent.posterior is not None
    return (latent.posterior.mean - latent.prior.mean) / latent.prior.std


def summed(sums: list[Tensor], values: list[Tensor]) -> list[Tensor]:
    """Sums so far, none at first, and the next values."""
    return [a + b for a, b in zip(sums, values, strict=True)] if sums else values


def _nested(config: dict[str, Any]) -> SuperResolutionModel:
    config = dict(config)
    name, module = config.pop("model_class", None), config.pop("model_module", None)
    return find(name, module)(**config)


def _prior_of_lr(config: dict[str, Any]) -> GenerativeModel:
    prior = _nested(config)
    if not isinstance(prior, GenerativeModel):
        raise ValueError(f"lr_prior: a {type(prior).__name__} is no generative model")
    return prior
