"""What a training set is: batches as a pure function of the step.

Because batch number `step` depends on nothing but (seed, step), a resumed run sees exactly the
images it would have seen, and no worker process or data loader state is needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor


def generator(*key: int) -> torch.Generator:
    """A generator named by integers, so that every draw of a run has its own address."""
    seed = np.random.SeedSequence([abs(k) for k in key]).generate_state(2, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))


class Batch(NamedTuple):
    """Training images, all uint8.

    Args:
        hr: (N, 3, H, W).
        lr: (N, 3, H / scale, W / scale) where LR versions are given; otherwise the trainer makes
            them.
        target: a teacher's answers to `lr`, of the shape of `hr`, where there are any.
    """

    hr: Tensor
    lr: Tensor | None = None
    target: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same change to every part that is there."""
        return Batch(*[None if part is None else change(part) for part in self])  # type: ignore[arg-type]

    def split(self, size: int) -> Iterator["Batch"]:
        """Batches of at most `size`, in order."""
        for start in range(0, len(self.hr), size):
            yield self.map(lambda part, start=start: part[start : start + size])  # type: ignore[misc]


class ImageSet(ABC):
    """A source of square RGB training images."""

    name: str

    @abstractmethod
    def batch(self, seed: int, step: int, size: int) -> Batch:
        """Batch number `step` of `size` images, the same for the same arguments."""

    @abstractmethod
    def describe(self) -> str:
        """What was trained on, in words for a model card."""

    def to(self, device: torch.device) -> Self:
        """The same images, kept on `device` when it has room for them."""
        return self


SYMMETRIES = ("mirror", "dihedral")


def augment(batch: Tensor, seed: int, step: int, symmetry: str = "mirror") -> Tensor:
    """Turn images (N, 3, H, W) at random, the same way for the same (seed, step).

    Args:
        symmetry: `mirror` (half of them left to right) or `dihedral` (square images: all eight
            flips and quarter turns, as photographs of textures allow).

    Raises:
        ValueError: for an unknown symmetry.
    """
    if symmetry not in SYMMETRIES:
        raise ValueError(f"symmetry must be one of {SYMMETRIES}, not {symmetry!r}")
    random = generator(seed, 4, step)
    batch = _half(batch, batch.flip(-1), random)
    if symmetry == "mirror":
        return batch
    batch = _half(batch, batch.flip(-2), random)
    return _half(batch, batch.transpose(-1, -2), random)


def _half(batch: Tensor, other: Tensor, random: torch.Generator) -> Tensor:
    """Each image from `batch` or from `other`, with equal chances."""
    chosen = torch.rand(len(batch), generator=random) < 0.5
    return torch.where(chosen.to(batch.device)[:, None, None, None], other, batch)
