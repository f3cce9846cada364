"""The resolutions of a hierarchy, and what its encoder is shown.

Levels are counted coarse to fine. A conditional hierarchy starts at LR resolution and doubles; what
is missing to HR is folded into channels (space to depth). An unconditional one may start coarser.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hvae_sr.models.base import factors
from hvae_sr.models.latent import Level, Start
from hvae_sr.nn.starts import checked_start


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


def shown(hr: Tensor, start: Start, conditional: bool) -> Tensor:
    """What an encoder is shown of HR images (N, 3, H, W) in [0, 1]: values in [-1, 1].

    Of a conditional model: the image, and its difference from the base image, (N, 6, H, W).
    """
    x = 2 * hr - 1
    return torch.cat([x, x - start.base], dim=1) if conditional else x
