"""Where a top-down pass starts: features of the LR image, or a learned constant."""

import torch
from torch import Tensor, nn

from hvae_sr.checks import one_of
from hvae_sr.nn.layers import CellKind, conv3x3, residuals

STARTS = ("lr", "constant")


def checked_start(start: str, scale: int) -> str:
    """The kind of start, if a model of this scale can have it.

    Raises:
        ValueError: for an unknown kind, and for `lr` at scale 1.
    """
    one_of("start", start, STARTS)
    if scale == 1 and start == "lr":
        raise ValueError("scale 1 has no LR image to start from: use start='constant'")
    return start


def first_state(start: str, width: int, blocks: int, kind: CellKind) -> "FromLR | FromConstant":
    """The start of a kind, with `width` channels; `blocks` cells see the LR image."""
    return FromLR(width, blocks, kind) if start == "lr" else FromConstant(width)


class FromLR(nn.Module):
    """Start of the top-down state: features of the LR image, at LR resolution."""

    def __init__(self, width: int, blocks: int, kind: CellKind):
        super().__init__()
        self.features = nn.Sequential(conv3x3(3, width), residuals(kind, width, blocks))

    def forward(self, lr: Tensor | None, shape: tuple[int, int, int]) -> Tensor:
        if lr is None:
            raise ValueError("this model needs an LR image")
        return self.features(2 * lr - 1)


class FromConstant(nn.Module):
    """Start of the top-down state: one learned vector, expanded to any size."""

    def __init__(self, width: int):
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, lr: Tensor | None, shape: tuple[int, int, int]) -> Tensor:
        n, height, width = shape
        return self.vector.expand(n, -1, height, width)
