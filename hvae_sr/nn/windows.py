"""Cutting an axis into windows that overlap: the arithmetic of tiles, and of long matrices.

A window is a core, a ramp on which neighbours are blended, and a halo: context that is looked at
and whose output is thrown away. Weights are positive and add up to one along the axis, so nothing
has to be divided afterwards. At the end of the axis a window simply ends, as the whole axis does.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

RAMP = 8  # LR pixels on which neighbouring tiles are blended


@dataclass(frozen=True)
class Window:
    """A stretch of one axis of an image, in LR pixels.

    Args:
        start, stop: what the network sees.
        first, last: what is kept of its output, blends included.
        before, after: pixels of the blend with the previous and the next window.
    """

    start: int
    stop: int
    first: int
    last: int
    before: int = 0
    after: int = 0

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def seen(self) -> slice:
        return slice(self.start, self.stop)

    def kept(self, scale: int) -> slice:
        """The kept pixels, counted within the window's own output."""
        return slice((self.first - self.start) * scale, (self.last - self.start) * scale)

    def target(self, scale: int) -> slice:
        """The kept pixels, counted within the whole output."""
        return slice(self.first * scale, self.last * scale)

    def weights(self, scale: int) -> Tensor:
        """Blending weights of the kept output pixels: 1 in the core, linear on the ramps."""
        weights = torch.ones((self.last - self.first) * scale)
        if self.before:
            weights[: self.before * scale] = _rise(self.before * scale)
        if self.after:
            weights[-self.after * scale :] = 1 - _rise(self.after * scale)
        return weights


def _rise(pixels: int) -> Tensor:
    return (torch.arange(pixels) + 0.5) / pixels


def smallest_tile(halo: int, ramp: int = RAMP, multiple: int = 1) -> int:
    """The least side of a tile, LR pixels, whose two ramps do not meet."""
    return round_up(2 * halo + ramp, multiple) + round_up(2 * ramp + 2, multiple)


def windows(length: int, tile: int, halo: int, ramp: int = RAMP, multiple: int = 1) -> list[Window]:
    """Cut an axis into windows of equal size, at most `tile`, evenly spread.

    Args:
        length: of the axis, LR pixels, a multiple of `multiple`.
        tile: the largest window, halo included.
        halo: context on each inner side.
        ramp: pixels on which neighbours overlap for blending.
        multiple: what sizes and positions are multiples of.

    Raises:
        ValueError: when the tile is too small for halo and ramps.
    """
    if length <= tile:
        return [Window(0, length, 0, length)]
    if tile < smallest_tile(halo, ramp, multiple):
        raise ValueError(
            f"a tile of {tile} pixels is too small for this model: "
            f"use at least {smallest_tile(halo, ramp, multiple)}"
        )
    whole, overlap = length // multiple, round_up(2 * halo + ramp, multiple) // multiple
    count = -(-(whole - overlap) // (tile // multiple - overlap))
    size = -(-(whole - overlap) // count) + overlap
    starts = [multiple * (i * (whole - size) // (count - 1)) for i in range(count)]
    size *= multiple
    # Blends sit in the middle of what neighbours share, so that both have at least the halo.
    blends = [
        start + (size - (start - previous) - ramp) // 2 for previous, start in pairwise(starts)
    ]
    firsts, lasts = [0, *blends], [*(blend + ramp for blend in blends), length]
    return [
        Window(start, start + size, first, last, ramp * (i > 0), ramp * (i < count - 1))
        for i, (start, first, last) in enumerate(zip(starts, firsts, lasts, strict=True))
    ]


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
