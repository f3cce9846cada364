"""The resolutions of a hierarchy, and the networks that only join them.

Levels are counted coarse to fine. A conditional hierarchy starts at LR resolution and doubles; what
is missing to HR is folded into channels (space to depth). An unconditional one may start coarser.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from hvae_sr.models.base import factors
from hvae_sr.models.latent import Level
from hvae_sr.nn.layers import (
    CellKind,
    conv1x1,
    downsample,
    folded,
    residuals,
    start_narrow,
    upsample,
)
from hvae_sr.nn.starts import checked_start

Join = Callable[[int, int, int], nn.Module]  # of input and output channels, and a factor


@dataclass(frozen=True)
class Pyramid:
    """Resolutions as data.

    Args:
        levels: coarse to fine.
        stem: HR pixels per pixel of the finest level, along each side.
        reduction: HR pixels per pixel of the coarsest level, along each side.
    """

    levels: list[Level]
    stem: int
    reduction: int

    @property
    def top(self) -> int:
        """Index of the coarsest level with latents; nothing above it sees the HR image."""
        return next((index for index, level in enumerate(self.levels) if level.groups), 0)

    @property
    def groups(self) -> int:
        """Latents of the whole hierarchy, at least 1."""
        return max(1, sum(level.groups for level in self.levels))

    def passed(self, index: int) -> int:
        """Cells of a level that a pass over the HR image goes through without meeting a latent."""
        level = self.levels[index]
        return 0 if level.groups or index < self.top else level.blocks

    def finer(self, join: Join) -> nn.ModuleList:
        """What leads from each level to the next finer one, coarse to fine."""
        return nn.ModuleList(
            join(coarse.width, fine.width, fine.factor) for coarse, fine in pairwise(self.levels)
        )

    def coarser(self, join: Join) -> nn.ModuleList:
        """What leads back, in the same order, as far up as anything sees the HR image."""
        return nn.ModuleList(
            join(fine.width, coarse.width, fine.factor) if i >= self.top else nn.Sequential()
            for i, (coarse, fine) in enumerate(pairwise(self.levels))
        )


def pyramid(
    scale: int,
    start: str,
    widths: list[int],
    groups: list[int],
    blocks: list[int],
    stem: int = 1,
) -> Pyramid:
    """The resolutions that per-level lists, coarse to fine, describe.

    Args:
        scale: HR pixels per LR pixel; 1 without an LR input.
        start: what the top-down state starts from: `lr` or `constant`.
        widths, groups, blocks: see `Level`.
        stem: HR pixels per pixel of the finest level of a model without an LR input; the levels
            of one with an LR input say themselves how fine they are.

    Raises:
        ValueError: for lists of different lengths, more levels than the scale has steps, an
            unknown start, or a stem that is not positive or not asked for.
    """
    if not len(widths) == len(groups) == len(blocks) >= 1:
        raise ValueError("widths, groups and blocks need one entry per level")
    checked_start(start, scale)
    if stem < 1 or (stem > 1 and start == "lr"):
        raise ValueError(f"stem must be at least 1, and 1 for a start of 'lr', not {stem}")
    steps = factors(scale)
    if start == "constant":
        steps = (steps + [2] * len(widths))[: max(len(steps), len(widths) - 1)]
    if len(widths) > len(steps) + 1:
        raise ValueError(f"x{scale} has {len(steps) + 1} levels, not {len(widths)}")
    inner, tail = steps[: len(widths) - 1], steps[len(widths) - 1 :]
    levels = [Level(*level) for level in zip(widths, groups, blocks, [1, *inner], strict=True)]
    return Pyramid(levels, stem * math.prod(tail), stem * math.prod(steps))


def doubling(reduction: int, widths: list[int], blocks: list[int]) -> Pyramid:
    """Levels from the resolution of one latent on, each twice as fine as the one above.

    Args:
        reduction: image pixels per pixel of the latent, along each side.
        widths, blocks: see `Level`.

    Raises:
        ValueError: for lists of different lengths, or more levels than the reduction has steps.
    """
    if not len(widths) == len(blocks) >= 1:
        raise ValueError("widths and blocks need one entry per level")
    finest = 2 ** (len(widths) - 1)
    if reduction < 1 or reduction % finest:
        raise ValueError(f"a reduction of {reduction} does not have {len(widths)} levels")
    shape = zip(widths, blocks, strict=True)
    levels = [
        Level(width, groups=int(i == 0), blocks=count, factor=2 if i else 1)
        for i, (width, count) in enumerate(shape)
    ]
    return Pyramid(levels, reduction // finest, reduction)


def to_latent(inputs: int, shape: Pyramid, kind: CellKind, latent: int) -> nn.Sequential:
    """q of one latent at the coarsest level, residual cells at each level on the way there.

    (N, inputs, H, W) -> means and raw deviations (N, 2 * latent, h, w).
    """
    coarsest, finest = shape.levels[0], shape.levels[-1]
    layers: list[nn.Module] = [*folded(inputs, finest.width, shape.stem)]
    for coarse, fine in reversed(list(pairwise(shape.levels))):
        layers.append(residuals(kind, fine.width, fine.blocks))
        layers.append(downsample(fine.width, coarse.width, 2))
    last = kind(coarsest.width, coarsest.width, 2 * latent)
    start_narrow(last.last, latent)
    return nn.Sequential(*layers, residuals(kind, coarsest.width, coarsest.blocks), last)


def from_latent(latent: int, shape: Pyramid, kind: CellKind) -> nn.Sequential:
    """The way back: a latent (N, latent, h, w) -> features at the finest level."""
    coarsest, finest = shape.levels[0], shape.levels[-1]
    layers: list[nn.Module] = [conv1x1(latent, coarsest.width)]
    for coarse, fine in pairwise(shape.levels):
        layers.append(residuals(kind, coarse.width, coarse.blocks))
        layers.append(upsample(coarse.width, fine.width, 2))
    return nn.Sequential(*layers, residuals(kind, finest.width, finest.blocks))
