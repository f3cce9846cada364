"""How much work one call may ask for: by what it costs, not by the size of the image alone.

The cost of an answer is counted in floating point operations, so that the same limit stands on
every machine, beside what memory the answers need.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hvae_sr.errors import ImageError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.upscaling import Upscaler, tiling

LARGEST_COST = 5e12  # operations of one call: a 12-megapixel photograph through the cheapest model
LARGEST_OUTPUT = 210 * 10**6  # pixels of all answers of a call
LARGEST_SHOWN = 2**25  # the same, where the page shows every pixel of them
LARGEST_INPUT = 50 * 10**6  # pixels of an image that is read at all
LARGEST_PASS = 2**18  # LR pixels x answers of models that run without tiles
PROBE = 32  # side in LR pixels of the image that operations are counted on
MEMORY = 40  # bytes for each pixel of the answers, from the network to the file
SHARE = 0.8  # of the memory there is
MEGAPIXEL = 10**6

_costs: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Work:
    """What is asked of one model.

    Args:
        model: the model.
        answers: how many answers to the image.
        shrink: by how much the sides of the image shrink before the model sees it.
    """

    model: SuperResolutionModel
    answers: int = 1
    shrink: int = 1

    @property
    def cost(self) -> float:
        """Operations for each pixel of the image."""
        return self.answers * operations(self.model) / self.shrink**2

    @property
    def output(self) -> float:
        """Pixels of the answers for each pixel of the image."""
        return self.answers * (self.model.scale / self.shrink) ** 2


def operations(model: SuperResolutionModel) -> float:
    """Floating point operations for each LR pixel of an answer, counted once and remembered."""
    if model not in _costs:
        probe = torch.zeros(1, 3, PROBE, PROBE, device=model.device)
        with FlopCounterMode(display=False) as counter:
            Upscaler(model).images(probe)
        _costs[model] = max(1.0, counter.get_total_flops() / PROBE**2)
    return _costs[model]


def largest(work: Sequence[Work], most_output: int = LARGEST_OUTPUT) -> int:
    """Pixels of the largest image that one call takes for this work.

    Args:
        most_output: pixels of all answers together.
    """
    memory = SHARE * tiling.available(torch.device("cpu")) / MEMORY
    return max(
        1,
        int(
            min(
                LARGEST_INPUT,
                LARGEST_COST / sum(each.cost for each in work),
                min(most_output, memory) / sum(each.output for each in work),
            )
        ),
    )


def check(size: tuple[int, int], most: int, advice: str) -> None:
    """Refuse an image that is too large.

    Args:
        size: (width, height) of the image.
        most: pixels that are taken.
        advice: what else makes it possible, in words that follow "or".

    Raises:
        ImageError: in one sentence that names a size which is taken.
    """
    width, height = size
    if width * height > most:
        fitting = "x".join(map(str, shrunk(size, most)))
        raise ImageError(
            f"the image is {width}x{height}, {megapixels(width * height)} megapixels: at most "
            f"{megapixels(most)} are taken for this, so shrink it to {fitting}, or {advice}"
        )


def shrunk(size: tuple[int, int], most: int) -> tuple[int, int]:
    """The largest (width, height) of the same shape with at most `most` pixels."""
    factor = min(1.0, (most / (size[0] * size[1])) ** 0.5)
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def megapixels(pixels: float) -> str:
    """Rounded down, so that a limit that is named is taken."""
    value = pixels / MEGAPIXEL
    digits = 1 if value >= 1 else 3
    return f"{int(value * 10**digits) / 10**digits:.{digits}f}"
