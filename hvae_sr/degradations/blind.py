"""Training pairs for images from the real world: blur, noise and JPEG before and after shrinking.

After Kai Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution", ICCV 2021 (arXiv:2103.14006): each batch passes the same few corruptions in a
random order, each image with a strength of its own.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.degradations.base import Degradation, register_degradation
from hvae_sr.degradations.linear import Bicubic
from hvae_sr.nn.resize import quantise

TAPS = 15  # of the blur's kernel, along each side
Range = tuple[float, float]


@register_degradation
@dataclass(frozen=True)
class Blind(Degradation):
    """Blur, bicubic shrinking, noise and JPEG in a random order; not linear, so nothing to project.

    Args:
        scale: HR pixels per LR pixel along each side.
        blur: least and largest standard deviation in HR pixels at x4, along and across a random
            direction.
        noise: least and largest standard deviation in 8-bit steps.
        quality: least and largest quality of JPEG, 1 to 100.

    Raises:
        ValueError: for an unknown scale, ranges that are none, or (when called) sizes that are
            not multiples of the scale.
    """

    name: ClassVar[str] = "blind"
    blur: Range = (0.1, 2.4)
    noise: Range = (0.0, 20.0)
    quality: Range = (35, 95)

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, least, most in (("blur", 0.01, 20), ("noise", 0, 255), ("quality", 1, 100)):
            low, high = getattr(self, field)
            if not least <= low <= high <= most:
                raise ValueError(f"{field} must be a range within {least} to {most}")
            object.__setattr__(self, field, (low, high))  # JSON made a list of it

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Degradation`; the generator lives on the CPU, and its state names the result."""
        self.check_size(hr)
        low, high = (limit * self.scale / 4 for limit in self.blur)
        steps: list[Callable[[Tensor], Tensor]] = [
            lambda x: blur(x, generator, low, high),
            Bicubic(self.scale).linear,
            lambda x: noise(x, generator, self.noise),
            lambda x: jpeg(x, generator, self.quality),
        ]
        for index in torch.randperm(len(steps), generator=generator).tolist():
            hr = steps[index](hr).clamp(0, 1)
        return quantise(hr)


def blur(picture: Tensor, random: torch.Generator | None, low: float, high: float) -> Tensor:
    """Each picture with its own Gaussian, of standard deviations from `low` to `high` pixels."""
    n, channels, height, width = picture.shape
    draws = torch.rand(n, 3, generator=random)
    along, across = (low + (high - low) * draws[:, k, None, None] for k in (0, 1))
    angle = torch.pi * draws[:, 2, None, None]
    axis = torch.arange(TAPS) - TAPS // 2
    y, x = axis[None, :, None], axis[None, None, :]
    u = x * angle.cos() + y * angle.sin()
    v = y * angle.cos() - x * angle.sin()
    kernel = torch.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    kernel = (kernel / kernel.sum(dim=(1, 2), keepdim=True)).to(picture)
    bordered = F.pad(picture, [TAPS // 2] * 4, mode="replicate")
    one_row = bordered.reshape(1, n * channels, *bordered.shape[-2:])
    kernels = kernel.repeat_interleave(channels, dim=0).unsqueeze(1)
    return F.conv2d(one_row, kernels, groups=n * channels).reshape(n, channels, height, width)


def noise(picture: Tensor, random: torch.Generator | None, strength: Range) -> Tensor:
    """Gaussian noise, in half of the pictures the same for all channels."""
    n = len(picture)
    std = torch.empty(n, 1, 1, 1).uniform_(*strength, generator=random) / 255
    draw = torch.randn(picture.shape, generator=random)
    grey = torch.rand(n, 1, 1, 1, generator=random) < 0.5
    return picture + (std * torch.where(grey, draw[:, :1], draw)).to(picture)


def jpeg(picture: Tensor, random: torch.Generator | None, quality: Range) -> Tensor:
    """Through a real JPEG encoder (Pillow's), one quality per picture."""
    least, most = (int(limit) for limit in quality)
    qualities = torch.randint(least, most + 1, (len(picture),), generator=random)
    pairs = zip(picture, qualities.tolist(), strict=True)
    return torch.cat([_jpeg(one, quality) for one, quality in pairs]).to(picture)


def _jpeg(picture: Tensor, quality: int) -> Tensor:
    """One image (C, H, W) -> (1, C, H, W)."""
    from PIL import Image  # here, so that models can name this degradation without Pillow

    values = quantise(picture).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file).convert("RGB"))
    return torch.from_numpy(decoded).permute(2, 0, 1)[None].float().div(255)
