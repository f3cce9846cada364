"""The contract that every model keeps: facts about it, `forward`, `loss`, `draw`, `upscale`."""

import os
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Unpack, overload

import torch
from torch import Tensor, nn

from hvae_sr.degradations import SCALES, get_degradation
from hvae_sr.errors import ModelError
from hvae_sr.models import description
from hvae_sr.models.arguments import DegradationConfig
from hvae_sr.models.pretrained import Pretrained
from hvae_sr.models.registry import MODELS
from hvae_sr.nn.footprint import Footprint, measure
from hvae_sr.nn.latents import Decode, Temperature, checked_decode
from hvae_sr.nn.noise import Noise

if TYPE_CHECKING:
    from huggingface_hub import ModelCard
    from PIL import Image

    from hvae_sr.upscaling.options import DrawKeywords

Class = TypeVar("Class", bound="type[SuperResolutionModel]")


def factors(scale: int) -> list[int]:
    """The upscaling steps of a scale, coarse to fine: x4 is x2 twice.

    Raises:
        ValueError: for a scale that is not 1, 2, 3 or 4.
    """
    steps = {1: [], 2: [2], 3: [3], 4: [2, 2]}
    if scale not in steps:
        raise ValueError(f"scale must be one of {SCALES}, not {scale!r}")
    return steps[scale]


# OpenMP's threads do not come along in a fork: the first large operation of the child would wait
# for them without end. One thread needs no others.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


class SuperResolutionModel(Pretrained):
    """Base of all models: images are float NCHW RGB in [0, 1] in every public method.

    Subclasses take plain JSON keyword arguments (they become `config.json`) and implement
    `forward`, `loss` and, when they can give several outputs, `draw`.

    Args:
        scale: HR pixels per LR pixel along each side; 1 for models of the LR image itself.
        degradation: name of the degradation the weights are for, with its arguments where it has
            some: see `hvae_sr.get_degradation`.

    Raises:
        TypeError: for an argument that JSON cannot hold.
        ValueError: for an unknown scale or degradation.
    """

    is_stochastic: ClassVar[bool] = False  # whether it can give several outputs
    is_conditional: bool = True  # whether its output depends on the LR image alone, not on p(x)

    def __init_subclass__(cls, *, registered: bool = True, **kwargs: Any) -> None:
        """Make a class known by its name; `registered=False` is for bases that are not models."""
        super().__init_subclass__(**kwargs)
        if registered:
            MODELS.add(cls.__name__, cls)

    def __init__(self, scale: int, degradation: DegradationConfig):
        super().__init__()
        factors(scale)
        self.scale = scale
        self.degradation = get_degradation(degradation, scale) if scale > 1 else None
        self.name = type(self).__name__
        self.revision = None
        self.folder = None
        self._footprint: Footprint | None = None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def size_multiple(self) -> int:
        """What the sides of an LR image must be a multiple of; `upscale` pads to it."""
        return 1

    @property
    def receptive_field(self) -> int:
        """Radius of the receptive field in LR pixels, measured once; see `Footprint`."""
        return self.footprint.receptive_field

    @property
    def footprint(self) -> Footprint:
        """How far the network looks and how much memory it takes, measured once."""
        if self._footprint is None:
            self._footprint = measure(self, self.size_multiple)
        return self._footprint

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) -> the single best HR estimate (N, 3, h * scale, w * scale)."""
        raise NotImplementedError

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Training objective: scalars to log, of which those of `players` are minimised.

        Args:
            hr: (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255.
            lr: its LR version (N, 3, H / scale, W / scale).
        """
        raise NotImplementedError

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Who is trained: a term of `loss` -> the parameters that minimise it, and it alone.

        One player minimises `loss`. Where there are two, as in adversarial training, the gradient
        of a term reaches its own player's parameters alone: one backward pass of the sum then
        gives each the gradient of its own problem. Each has a parameter group of the optimiser to
        itself, with a learning rate and a clip norm of its own (`Recipe.players`).
        """
        return {"loss": [p for p in self.parameters() if p.requires_grad]}

    def draw(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """LR (N, 3, h, w) -> outputs (N, num_samples, 3, H, W), in one batched pass.

        Raises:
            ValueError: when the model has one output only and several are asked for.
        """
        if num_samples != 1 or temperature != 0 or checked_decode(decode) != "mean":
            raise ValueError(
                f"a {type(self).__name__} is deterministic and has one answer: leave num_samples, "
                "temperature and decode out"
            )
        return self(lr).unsqueeze(1)

    def draw_with_variance(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """Of stochastic models: `draw`, then mean and variance: (N, num_samples, 9, H, W)."""
        raise NotImplementedError

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
        """Unconditional samples (num_samples, 3, *size) in [0, 1]: see `GenerativeModel.sample`.

        Raises:
            ModelError: when the model has no p(x) to sample from.
        """
        raise ModelError(
            f"a {type(self).__name__} upscales images but has no p(x) to sample: load a generative "
            "model"
        )

    @overload
    def upscale(
        self,
        image: "Image.Image",
        *,
        num_samples: None = None,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> "Image.Image": ...

    @overload
    def upscale(
        self,
        image: "Image.Image",
        *,
        num_samples: int,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> "list[Image.Image]": ...

    @overload
    def upscale(
        self,
        image: Tensor,
        *,
        num_samples: int | None = None,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> Tensor: ...

    def upscale(
        self,
        image: "Image.Image | Tensor",
        *,
        num_samples: int | None = None,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> "Image.Image | list[Image.Image] | Tensor":
        """Enlarge an image of any size `scale` times: `Upscaler` in one line.

        Args:
            image: a Pillow image of any mode and size, or a tensor (N, 3, h, w) in [0, 1].
            num_samples: how many outputs; left out, one image comes back instead of a list
                (tensors: (N, 3, H, W) instead of (N, num_samples, 3, H, W)).
            generator: a `torch.Generator` to draw the seed from; not together with `seed`.
            options: `temperature`, `seed`, `decode`, `consistent`, `tile`, `dtype`, `size`: see
                `UpscaleOptions`.

        Raises:
            ValueError, ImageError, ModelError: as `Upscaler` does.
        """
        from hvae_sr.upscaling import Upscaler  # which reads images: models do without until here

        outputs = Upscaler(self).images(
            image, num_samples=num_samples, generator=generator, **options
        )
        if num_samples is not None:
            return outputs
        return outputs[:, 0] if isinstance(outputs, Tensor) else outputs[0]

    def generate_model_card(self, *args: Any, **kwargs: Any) -> "ModelCard":
        """The card that this model's weights have, or else what is known of its class."""
        return super().generate_model_card(*args, **{**description.facts(self), **kwargs})


def register_model(cls: Class) -> Class:
    """Class decorator that makes a model's class known by its name.

    Subclassing has done so already, unless the class said `registered=False`; an earlier class of
    the same name, which a later one of the same module replaced, is known again.

    Raises:
        TypeError: for what is not a subclass of `SuperResolutionModel`.
        ValueError: when a class of another module has this name.
    """
    if not (isinstance(cls, type) and issubclass(cls, SuperResolutionModel)):
        raise TypeError(f"{cls!r} is not a subclass of hvae_sr.SuperResolutionModel")
    MODELS.add(cls.__name__, cls)
    return cls
