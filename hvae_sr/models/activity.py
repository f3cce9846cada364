"""Active units: which latents of a model say something that its prior does not know."""

from collections.abc import Iterable

from torch import Tensor

from hvae_sr.models.bounds import ELBO
from hvae_sr.nn.latents import LatentSample

ACTIVE = 0.01  # variance over images from which a latent unit counts as active
ACTIVITY_DRAWS = 16  # of what lies above a latent, over which its shift is averaged


class ActiveUnits:
    """Counts active units over images, from running sums.

    A unit is one latent number, a channel at a place. It is active when the shift of its
    posterior, (posterior mean - prior mean) / prior std, averaged over draws of what lies above,
    varies over images by more than 0.01: a posterior that follows its prior is not active, however
    far both move (after Burda et al. 2016, whose priors stand still).
    """

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.comparable = True

    def add(self, shifts: list[Tensor]) -> None:
        """Mean shifts of a batch of images: (N, latent, H, W) for each latent."""
        shifts = [shift.double() for shift in shifts]
        sums, squares = [s.sum(dim=0) for s in shifts], [s.square().sum(dim=0) for s in shifts]
        if self.count and [s.shape for s in sums] != [s.shape for s in self.sums]:
            self.comparable = False
        if self.comparable:
            self.sums = summed(self.sums, sums)
            self.squares = summed(self.squares, squares)
        self.count += len(shifts[0]) if shifts else 0

    @property
    def units(self) -> list[list[int]]:
        """Shape of each latent; nothing when images differ in size."""
        return [list(total.shape) for total in self.sums] if self.comparable else []

    @property
    def active(self) -> list[int]:
        """How many units of each latent are active; nothing when images differ in size."""
        if not self.comparable:
            return []
        variances = [
            square / self.count - (total / self.count).square()
            for total, square in zip(self.sums, self.squares, strict=True)
        ]
        return [int((variance > ACTIVE).sum()) for variance in variances]


def mean_shifts(bounds: Iterable[ELBO]) -> list[Tensor]:
    """(posterior mean - prior mean) / prior std of each latent, averaged over draws."""
    sums: list[Tensor] = []
    draws = 0
    for bound in bounds:
        sums = summed(sums, [_shift(latent) for latent in bound.latents])
        draws += 1
    return [total / draws for total in sums]


def _shift(latent: LatentSample) -> Tensor:
    assert latent.posterior is not None
    return (latent.posterior.mean - latent.prior.mean) / latent.prior.std


def summed(sums: list[Tensor], values: list[Tensor]) -> list[Tensor]:
    """Sums so far, none at first, and the next values."""
    return [a + b for a, b in zip(sums, values, strict=True)] if sums else values
