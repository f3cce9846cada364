"""Sizes and values of images: enlarging, padding, and rounding to 8 bits."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

# PyTorch has a = -0.5 in its antialiased resize only, and a = -0.75 without it.
ENLARGEMENTS: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest"},
    "bilinear": {"mode": "bilinear", "align_corners": False},
    "bicubic": {"mode": "bicubic", "align_corners": False, "antialias": True},
    "bicubic_075": {"mode": "bicubic", "align_corners": False},
}


def quantise(image: Tensor, levels: int = 255) -> Tensor:
    """Clip to [0, 1] and round to the values a file can hold: `levels` + 1 of them."""
    return image.clamp(0, 1).mul(levels).round().div(levels)


def enlarge(lr: Tensor, scale: int, mode: str = "bicubic") -> Tensor:
    """Classic interpolation, cell centres aligned: (N, C, h, w) -> (N, C, h * scale, w * scale).

    Args:
        mode: `nearest`, `bilinear`, `bicubic` (Keys 1981, a = -0.5, as MATLAB and Pillow have it)
            or `bicubic_075` (a = -0.75, as OpenCV has it, sharper; what the first released
            weights add their output to). Overshoots are left unclipped.

    Raises:
        ValueError: for an unknown mode.
    """
    return F.interpolate(lr, scale_factor=scale, **ENLARGEMENTS[checked_enlargement(mode)])


def checked_enlargement(mode: str) -> str:
    """The mode, if `enlarge` knows it.

    Raises:
        ValueError: for an unknown mode.
    """
    if mode not in ENLARGEMENTS:
        raise ValueError(f"enlargement must be one of {tuple(ENLARGEMENTS)}, not {mode!r}")
    return mode


def reflect(image: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Reflect padding that also accepts images smaller than the padding.

    `F.pad` refuses to reflect more than size - 1 pixels, so what it cannot reflect is done again.
    """
    left, right, top, bottom = padding
    height, width = image.shape[-2:]
    first = (
        min(left, width - 1),
        min(right, width - 1),
        min(top, height - 1),
        min(bottom, height - 1),
    )
    if first == padding:
        return F.pad(image, padding, mode="reflect")
    if not any(first):
        return F.pad(image, padding, mode="replicate")
    rest = (left - first[0], right - first[1], top - first[2], bottom - first[3])
    return reflect(F.pad(image, first, mode="reflect"), rest)
