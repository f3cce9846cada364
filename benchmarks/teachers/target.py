"""What a student learns: the teacher's texture on the original's structure."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) with a Gaussian of `sigma` pixels, cut off at 3 sigma, the border repeated."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    taps = torch.exp(-0.5 * (offsets / sigma) ** 2)
    taps = taps / taps.sum()
    channels = images.shape[1]
    images = F.pad(images, [radius] * 4, mode="replicate")
    images = F.conv2d(images, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(images, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


@dataclass(frozen=True)
class TextureOnStructure:
    """target = (1 - original) * (teacher + G(clean - teacher)) + original * clean.

    G is a Gaussian lowpass. A GAN's colour shifts, waxy faces and wrong outlines are of low
    frequency, where the clean image is known; its sharpness is of high frequency.

    Args:
        sigma: of G, in HR pixels; frequencies well below 1 / (2 pi sigma) are the clean image's.
        original: share of the clean image in the whole, from 0 to 1: at 0 the texture is all the
            teacher's, at 1 nothing is.

    Raises:
        ValueError: for a sigma that is not positive, or another share.
    """

    sigma: float = 4.0
    original: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be a positive number of pixels, not {self.sigma!r}")
        if not 0 <= self.original <= 1:
            raise ValueError(f"original is a share, from 0 to 1, not {self.original!r}")

    def __call__(self, teacher: Tensor, clean: Tensor) -> Tensor:
        """Both (N, 3, H, W) in [0, 1] -> the target, of the same shape, in [0, 1]."""
        textured = teacher + gaussian_blur(clean - teacher, self.sigma)
        return torch.lerp(textured, clean, self.original).clamp(0, 1)
