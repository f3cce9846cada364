"""HR -> LR operators, their adjoints, and the projection onto LR-consistent pictures.

One object serves training, evaluation, consistency and the demo alike, so that all of them
mean the same thing by "low resolution". Every operator A is linear up to the final rounding to
8 bits; its adjoint comes from automatic differentiation, so the two can never disagree.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (2, 3, 4)
CONSISTENT = 0.1 / 255  # a residual no 8-bit picture can show


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
        n, c, height, width = lr.shape
        with torch.inference_mode(False), torch.enable_grad():
            hr = lr.new_zeros(n, c, height * self.scale, width * self.scale, requires_grad=True)
            (transposed,) = torch.autograd.grad(self.linear(hr), hr, lr.detach().clone())
        return transposed

    def project(self, hr: Tensor, lr: Tensor, rounds: int = 4, steps: int = 12) -> Tensor:
        """The nearest picture to `hr` in [0, 1] whose LR version is `lr` ("back-projection").

        Solves x + A^T (A A^T)^-1 (y - A x) by conjugate gradients (Hestenes and Stiefel 1952),
        then clips to [0, 1]; a few rounds of both settle pixels that clipping moved.

        Args:
            hr: (N, C, H, W) in [0, 1].
            lr: (N, C, H / scale, W / scale) in [0, 1].
            rounds: how often to solve and clip.
            steps: conjugate-gradient steps in each round.
        """
        for _ in range(rounds):
            residual = lr - self.linear(hr)
            if float(residual.abs().max()) < CONSISTENT:
                break
            weights = self._solve(residual, steps)
            hr = (hr + self.adjoint(weights)).clamp(0, 1)
        return hr

    def _solve(self, residual: Tensor, steps: int) -> Tensor:
        """Conjugate gradients on A A^T w = residual, every picture of the batch on its own."""
        solution = torch.zeros_like(residual)
        direction = residual
        norm = _dot(residual, residual)
        for _ in range(steps):
            image = self.linear(self.adjoint(direction))
            step = norm / _dot(direction, image).clamp_min(1e-20)
            solution = solution + step * direction
            residual = residual - step * image
            if float(residual.abs().max()) < CONSISTENT / 4:
                break
            previous, norm = norm, _dot(residual, residual)
            direction = residual + norm / previous.clamp_min(1e-20) * direction
        return solution


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


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2, 3), keepdim=True)


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
    hr = _reflect(hr, (0, 0, before, after))
    hr = F.conv2d(hr, vertical, stride=(stride, 1), groups=channels)
    hr = _reflect(hr, (before, after, 0, 0))
    return F.conv2d(hr, horizontal, stride=(1, stride), groups=channels)


def _reflect(picture: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
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
    return _reflect(F.pad(picture, first, mode="reflect"), rest)


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
