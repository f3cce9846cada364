"""Training pairs for pictures from the real world: blur, noise and JPEG before and after shrinking.

After Kai Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution", ICCV 2021 (arXiv:2103.14006): each batch passes the same few corruptions in a
random order, each picture with a strength of its own.
"""

import io
from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hvae_sr.degradation import Degradation, quantise
from hvae_sr.pictures import to_image, to_tensor

BLUR = (0.1, 2.4)  # standard deviation in HR pixels at x4, along and across a random direction
NOISE = (0.0, 20.0)  # standard deviation in 8-bit steps
QUALITY = (35, 95)  # of JPEG
TAPS = 15  # of the blur's kernel, along each side


class RealWorld:
    """HR (N, 3, H, W) in [0, 1] -> LR (N, 3, H / scale, W / scale), rounded to 8 bits.

    Args:
        scale: HR pixels per LR pixel along each side.

    Raises:
        ValueError: for an unknown scale, or (when called) sizes that are no multiple of it.
    """

    def __init__(self, scale: int):
        self.scale = scale
        self.shrink = Degradation("bicubic", scale)

    def __call__(self, hr: Tensor, random: torch.Generator) -> Tensor:
        """The same pictures for the same state of `random`, which lives on the CPU."""
        steps: list[Callable[[Tensor, torch.Generator], Tensor]]
        steps = [self._blur, lambda x, _: self.shrink.linear(x), noise, jpeg]
        picture = hr
        for index in torch.randperm(len(steps), generator=random).tolist():
            picture = steps[index](picture, random).clamp(0, 1)
        return quantise(picture)

    def _blur(self, picture: Tensor, random: torch.Generator) -> Tensor:
        low, high = (limit * self.scale / 4 for limit in BLUR)
        return blur(picture, random, low, high)


def blur(picture: Tensor, random: torch.Generator, low: float, high: float) -> Tensor:
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


def noise(picture: Tensor, random: torch.Generator) -> Tensor:
    """Gaussian noise, in half of the pictures the same for all channels."""
    n = len(picture)
    strength = torch.empty(n, 1, 1, 1).uniform_(*NOISE, generator=random) / 255
    draw = torch.randn(picture.shape, generator=random)
    grey = torch.rand(n, 1, 1, 1, generator=random) < 0.5
    return picture + (strength * torch.where(grey, draw[:, :1], draw)).to(picture)


def jpeg(picture: Tensor, random: torch.Generator) -> Tensor:
    """Through a real JPEG encoder (Pillow's), one quality per picture."""
    qualities = torch.randint(QUALITY[0], QUALITY[1] + 1, (len(picture),), generator=random)
    pairs = zip(picture, qualities.tolist(), strict=True)
    return torch.cat([_jpeg(one, quality) for one, quality in pairs]).to(picture)


def _jpeg(picture: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    to_image(picture).save(file, "JPEG", quality=quality)
    return to_tensor(Image.open(file))
