"""HR -> LR operators, their adjoints, and the projection onto LR-consistent pictures.

One object serves training, evaluation, consistency and the demo alike, so that all of them
mean the same thing by "low resolution". Every operator A is linear up to the final rounding to
8 bits and separable; its adjoint and its inverse come from the matrix that it makes of an
identity, so they can never disagree.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.tiling import Window, windows

SCALES = (2, 3, 4)
CONSISTENT = 0.1 / 255  # a residual no 8-bit picture can show
WINDOW, HALO = 96, 16  # LR pixels of the windows of the projection


@dataclass(frozen=True)
class Degradation:
    """A named way to make LR pictures, as stored in a model's `config.json`.

    Args:
        name: `gaussian` (sigma 0.4 x scale, a kernel of 3 x scale taps centred on each
            scale x scale cell, reflect padding), `gaussian_corner` (sigma 0.25 x scale, then
            `[::scale]`: the literal reading of the study, which shifts the picture by
            (scale - 1) / 2 pixels), `bicubic` (antialiased, as MATLAB and Pillow do it) or
            `area` (the mean of each cell).
        scale: HR pixels per LR pixel along each side: 2, 3 or 4.

    Raises:
        ValueError: for an unknown name or scale.
    """

    name: str
    scale: int

    def __post_init__(self) -> None:
        if self.name not in _OPERATORS:
            known = ", ".join(_OPERATORS)
            raise ValueError(f"unknown degradation {self.name!r}: choose one of {known}")
        if self.scale not in SCALES:
            raise ValueError(f"scale must be one of {SCALES}, not {self.scale!r}")

    def __call__(self, hr: Tensor) -> Tensor:
        """HR (N, C, H, W) in [0, 1] -> LR (N, C, H / scale, W / scale), rounded to 8 bits.

        Raises:
            ValueError: if H or W is not a multiple of the scale.
        """
        return quantise(self.linear(hr))

    def linear(self, hr: Tensor) -> Tensor:
        """The operator A without rounding or clipping; same shapes as calling the object."""
        height, width = hr.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(
                f"a {width}x{height} picture cannot be shrunk by {self.scale}: "
                f"crop it to multiples of {self.scale} first"
            )
        return _OPERATORS[self.name](hr, self.scale)

    def adjoint(self, lr: Tensor) -> Tensor:
        """A^T: LR (N, C, h, w) -> HR (N, C, h * scale, w * scale)."""
        return self._along(self._along(lr, -1, _transposed), -2, _transposed)

    def residual(self, hr: Tensor, lr: Tensor) -> Tensor:
        """y - A x: (N, C, h, w), in memory that the size of `lr` bounds; see `project`."""
        return lr - self._along(self._along(hr, -1, _operator), -2, _operator)

    def project(self, hr: Tensor, lr: Tensor, rounds: int = 4) -> Tensor:
        """The nearest picture to `hr` in [0, 1] whose LR version is `lr` ("back-projection").

        Every A is separable, A = R x R for the matrix R of one axis, so the exact correction
        x + A^T (A A^T)^-1 (y - A x) is two products with R^T (R R^T)^-1. Then values are clipped
        to [0, 1]; a few rounds of both settle pixels that clipping moved.

        Args:
            hr: (N, C, H, W) in [0, 1].
            lr: (N, C, H / scale, W / scale) in [0, 1].
            rounds: how often to solve and clip.
        """
        hr = hr.clone()
        for _ in range(rounds):
            residual = self.residual(hr, lr)
            unsettled = residual.abs().amax(dim=(1, 2, 3), keepdim=True) >= CONSISTENT
            if not unsettled.any():
                break
            wide = self._along(residual * unsettled, -1, _inverse)
            for window, correction in self._pieces(wide, -2, _inverse):
                hr[..., window.target(self.scale), :].add_(correction).clamp_(0, 1)
        return hr

    def _along(self, picture: Tensor, axis: int, matrix: "Matrix") -> Tensor:
        """Apply a matrix of one axis to rows (axis -1) or columns (axis -2)."""
        return torch.cat([piece for _, piece in self._pieces(picture, axis, matrix)], dim=axis)

    def _pieces(
        self, picture: Tensor, axis: int, matrix: "Matrix"
    ) -> Iterator[tuple[Window, Tensor]]:
        """The same in windows: each one's kept output. R has few bands and its inverse decays by
        1e-8 over `HALO`, so that windows give what the whole axis would.
        """
        shrinks = matrix is _operator
        before, after = (self.scale, 1) if shrinks else (1, self.scale)
        for window in windows(picture.shape[axis] // before, WINDOW, HALO, ramp=0):
            piece = picture.narrow(axis, window.start * before, window.size * before)
            rows = matrix(self.name, self.scale, window.size)[window.kept(after)].to(picture)
            yield window, piece @ rows.T if axis == -1 else rows @ piece


def quantise(picture: Tensor) -> Tensor:
    """Clip to [0, 1] and round to the 256 values an 8-bit file can hold."""
    return picture.clamp(0, 1).mul(255).round().div(255)


def enlarge(lr: Tensor, scale: int, mode: str = "bicubic") -> Tensor:
    """Classic interpolation, cell centres aligned: (N, C, h, w) -> (N, C, h * scale, w * scale).

    Args:
        mode: `nearest`, `bilinear` or `bicubic`. Bicubic overshoots are left unclipped.
    """
    if mode == "nearest":
        return F.interpolate(lr, scale_factor=scale, mode=mode)
    return F.interpolate(lr, scale_factor=scale, mode=mode, align_corners=False)


Matrix = Callable[[str, int, int], Tensor]


@lru_cache(maxsize=256)
@torch.inference_mode(False)
@torch.no_grad()
def _operator(name: str, scale: int, length: int) -> Tensor:
    """R (length, length * scale) in float64: the operator of one axis, read off an identity."""
    width = length * scale
    rows = torch.eye(width, dtype=torch.float64).view(width, 1, 1, width)
    return _OPERATORS[name](rows.expand(-1, -1, scale, -1), scale)[:, 0, 0].T.contiguous()


@lru_cache(maxsize=256)
@torch.inference_mode(False)
@torch.no_grad()
def _inverse(name: str, scale: int, length: int) -> Tensor:
    """R^T (R R^T)^-1, (length * scale, length) in float64; the condition is at most 2.5."""
    matrix = _operator(name, scale, length)
    return torch.linalg.solve(matrix @ matrix.T, matrix).T.contiguous()


def _transposed(name: str, scale: int, length: int) -> Tensor:
    return _operator(name, scale, length).T


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


def reflect(picture: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Reflect padding that also accepts pictures smaller than the padding.

    `F.pad` refuses to reflect more than size - 1 pixels, so what it cannot reflect is done again.
    """
    left, right, top, bottom = padding
    height, width = picture.shape[-2:]
    first = (
        min(left, width - 1),
        min(right, width - 1),
        min(top, height - 1),
        min(bottom, height - 1),
    )
    if first == padding:
        return F.pad(picture, padding, mode="reflect")
    if not any(first):
        return F.pad(picture, padding, mode="replicate")
    rest = (left - first[0], right - first[1], top - first[2], bottom - first[3])
    return reflect(F.pad(picture, first, mode="reflect"), rest)


def _gaussian(hr: Tensor, scale: int) -> Tensor:
    offsets = torch.arange(3 * scale) - (3 * scale - 1) / 2
    return _separable(hr, _gaussian_taps(offsets, 0.4 * scale), (scale, scale), scale)


def _gaussian_corner(hr: Tensor, scale: int) -> Tensor:
    sigma = 0.25 * scale
    radius = math.ceil(4 * sigma)
    taps = _gaussian_taps(torch.arange(-radius, radius + 1).float(), sigma)
    # The filter is "same" sized; stride then keeps every scale-th pixel from the first on.
    return _separable(hr, taps, (radius, radius), scale)


def _bicubic(hr: Tensor, scale: int) -> Tensor:
    size = (hr.shape[-2] // scale, hr.shape[-1] // scale)
    return F.interpolate(hr, size=size, mode="bicubic", antialias=True, align_corners=False)


def _area(hr: Tensor, scale: int) -> Tensor:
    return F.avg_pool2d(hr, scale)


_OPERATORS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "gaussian": _gaussian,
    "gaussian_corner": _gaussian_corner,
    "bicubic": _bicubic,
    "area": _area,
}
