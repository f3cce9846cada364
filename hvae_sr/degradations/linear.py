"""Linear HR -> LR operators, their adjoints, and the projection onto LR-consistent images.

Every operator A is linear up to the final rounding to 8 bits and separable; its adjoint and its
inverse come from the matrix that it makes of an identity, so they can never disagree.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.degradations.base import Degradation, register_degradation
from hvae_sr.nn.resize import quantise, reflect
from hvae_sr.nn.windows import Window, windows

UNSEEN = 0.1  # of a step between two values of a file: a residual that it cannot show
CONSISTENT = UNSEEN / 255  # the same of an 8-bit image
WINDOW, HALO = 96, 16  # LR pixels of the windows of the projection


@dataclass(frozen=True)
class LinearDegradation(Degradation):
    """A separable linear operator, rounded to 8 bits. Subclasses write `shrink`."""

    can_project: ClassVar[bool] = True

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Degradation`; nothing is drawn."""
        return quantise(self.linear(hr))

    def linear(self, hr: Tensor) -> Tensor:
        """The operator A without rounding or clipping; same shapes as calling the object."""
        self.check_size(hr)
        return self.shrink(hr)

    @abstractmethod
    def shrink(self, hr: Tensor) -> Tensor:
        """A x for sides that are multiples of the scale: (N, C, H, W) -> (N, C, h, w)."""

    def adjoint(self, lr: Tensor) -> Tensor:
        """A^T: LR (N, C, h, w) -> HR (N, C, h * scale, w * scale)."""
        return self._along(self._along(lr, -1, _transposed), -2, _transposed)

    def residual(self, hr: Tensor, lr: Tensor) -> Tensor:
        """y - A x: (N, C, h, w), in memory that the size of `lr` bounds; see `project`."""
        return lr - self._along(self._along(hr, -1, _operator), -2, _operator)

    def project(self, hr: Tensor, lr: Tensor, rounds: int = 4, levels: int = 255) -> Tensor:
        """The nearest image to `hr` in [0, 1] whose LR version is `lr` ("back-projection").

        Every A is separable, A = R x R for the matrix R of one axis, so the exact correction
        x + A^T (A A^T)^-1 (y - A x) is two products with R^T (R R^T)^-1. Then values are clipped
        to [0, 1]; a few rounds of both settle pixels that clipping moved.

        Args:
            hr: (N, C, H, W) in [0, 1].
            lr: (N, C, H / scale, W / scale) in [0, 1].
            rounds: how often to solve and clip.
            levels: the largest value of a file of the image's depth, 255 or 65535.
        """
        hr = hr.clone()
        for _ in range(rounds):
            residual = self.residual(hr, lr)
            unsettled = residual.abs().amax(dim=(1, 2, 3), keepdim=True) >= UNSEEN / levels
            if not unsettled.any():
                break
            wide = self._along(residual * unsettled, -1, _inverse)
            for window, correction in self._pieces(wide, -2, _inverse):
                hr[..., window.target(self.scale), :].add_(correction).clamp_(0, 1)
        return hr

    def _along(self, image: Tensor, axis: int, matrix: "Matrix") -> Tensor:
        """Apply a matrix of one axis to rows (axis -1) or columns (axis -2)."""
        return torch.cat([piece for _, piece in self._pieces(image, axis, matrix)], dim=axis)

    def _pieces(
        self, image: Tensor, axis: int, matrix: "Matrix"
    ) -> Iterator[tuple[Window, Tensor]]:
        """The same in windows: each one's kept output. R has few bands and its inverse decays by
        1e-8 over `HALO`, so that windows give what the whole axis would.
        """
        shrinks = matrix is _operator
        before, after = (self.scale, 1) if shrinks else (1, self.scale)
        for window in windows(image.shape[axis] // before, WINDOW, HALO, ramp=0):
            piece = image.narrow(axis, window.start * before, window.size * before)
            rows = matrix(self, window.size)[window.kept(after)].to(image)
            yield window, piece @ rows.T if axis == -1 else rows @ piece


Matrix = Callable[[LinearDegradation, int], Tensor]


@lru_cache(maxsize=256)
@torch.inference_mode(False)
@torch.no_grad()
def _operator(degradation: LinearDegradation, length: int) -> Tensor:
    """R (length, length * scale) in float64: the operator of one axis, read off an identity."""
    scale = degradation.scale
    width = length * scale
    rows = torch.eye(width, dtype=torch.float64).view(width, 1, 1, width)
    return degradation.shrink(rows.expand(-1, -1, scale, -1))[:, 0, 0].T.contiguous()


@lru_cache(maxsize=256)
@torch.inference_mode(False)
@torch.no_grad()
def _inverse(degradation: LinearDegradation, length: int) -> Tensor:
    """R^T (R R^T)^-1, (length * scale, length) in float64; the condition is at most 2.5."""
    matrix = _operator(degradation, length)
    return torch.linalg.solve(matrix @ matrix.T, matrix).T.contiguous()


def _transposed(degradation: LinearDegradation, length: int) -> Tensor:
    return _operator(degradation, length).T


def _gaussian_taps(offsets: Tensor, sigma: float) -> Tensor:
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def _separable(hr: Tensor, taps: Tensor, padding: tuple[int, int], stride: int) -> Tensor:
    """Filter rows and columns with the same taps; `padding` is (before, after) on each side."""
    channels = hr.shape[1]
    taps = taps.to(hr)
    vertical = taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    horizontal = taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    before, after = padding
    hr = reflect(hr, (0, 0, before, after))
    hr = F.conv2d(hr, vertical, stride=(stride, 1), groups=channels)
    hr = reflect(hr, (before, after, 0, 0))
    return F.conv2d(hr, horizontal, stride=(1, stride), groups=channels)


@register_degradation
@dataclass(frozen=True)
class Gaussian(LinearDegradation):
    """Gaussian blur of sigma 0.4 x scale, then every scale-th pixel, centred.

    The kernel has 3 x scale taps centred on each scale x scale cell; padding reflects.
    """

    name: ClassVar[str] = "gaussian"

    def shrink(self, hr: Tensor) -> Tensor:
        offsets = torch.arange(3 * self.scale) - (3 * self.scale - 1) / 2
        taps = _gaussian_taps(offsets, 0.4 * self.scale)
        return _separable(hr, taps, (self.scale, self.scale), self.scale)


@register_degradation
@dataclass(frozen=True)
class GaussianCorner(LinearDegradation):
    """Gaussian blur of sigma 0.25 x scale, then `[::scale]`: the literal reading of the study.

    It shifts the image by (scale - 1) / 2 pixels.
    """

    name: ClassVar[str] = "gaussian_corner"

    def shrink(self, hr: Tensor) -> Tensor:
        sigma = 0.25 * self.scale
        radius = math.ceil(4 * sigma)
        taps = _gaussian_taps(torch.arange(-radius, radius + 1).float(), sigma)
        # The filter is "same" sized; stride then keeps every scale-th pixel from the first on.
        return _separable(hr, taps, (radius, radius), self.scale)


@register_degradation
@dataclass(frozen=True)
class Bicubic(LinearDegradation):
    """Bicubic (a = -0.5), antialiased, as MATLAB and Pillow do it."""

    name: ClassVar[str] = "bicubic"

    def shrink(self, hr: Tensor) -> Tensor:
        size = (hr.shape[-2] // self.scale, hr.shape[-1] // self.scale)
        return F.interpolate(hr, size=size, mode="bicubic", antialias=True, align_corners=False)


@register_degradation
@dataclass(frozen=True)
class Area(LinearDegradation):
    """The mean of each scale x scale cell."""

    name: ClassVar[str] = "area"

    def shrink(self, hr: Tensor) -> Tensor:
        return F.avg_pool2d(hr, self.scale)
