"""bits/dim: the ELBO, its split into distortion and rate, the importance-weighted bound, and how
many latents carry anything."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hvae_sr.models.latent import Bound, GenerativeModel
from hvae_sr.nn.distributions import bits_per_dim
from hvae_sr.nn.latents import LatentSample
from hvae_sr.nn.noise import Noise

ACTIVE = 0.01  # variance over pictures from which on Burda et al. 2016 call a unit active


@dataclass(frozen=True)
class Bits:
    """Means over pictures, in bits per colour value of the picture that is modelled.

    Args:
        total: distortion + rate, the negative ELBO.
        distortion, rate: its two terms.
        rates: the rate of each group, coarse to fine.
        nats_per_map: KL of each group in nats, per latent channel and picture.
        importance_weighted: the bound of Burda et al. 2016, or None when it was not asked for.
        draws: posterior draws behind it.
        units: (channels, height, width) of each group's latent; empty when pictures differ in size.
        active: how many of them are active in each group, see `Activity`.
    """

    total: float
    distortion: float
    rate: float
    rates: list[float]
    nats_per_map: list[float]
    importance_weighted: float | None = None
    draws: int = 1
    units: list[list[int]] = field(default_factory=list)
    active: list[int] = field(default_factory=list)


class Activity:
    """Counts active units over pictures, from running sums.

    A unit is one latent number, a channel at a place. It is active when the mean of its posterior
    moves with the picture: Var_x(E_q[z | x]) > 0.01 (Burda et al. 2016). Of conditional models too
    the variance is over all pictures, so that a unit counts even where y alone moves it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.comparable = True

    def add(self, means: list[Tensor]) -> None:
        """Posterior means of a batch of pictures: (N, latent, H, W) for each group."""
        means = [mean.double() for mean in means]
        sums, squares = [m.sum(dim=0) for m in means], [m.square().sum(dim=0) for m in means]
        if self.count and [s.shape for s in sums] != [s.shape for s in self.sums]:
            self.comparable = False
        if self.comparable:
            self.sums = _added(self.sums, sums)
            self.squares = _added(self.squares, squares)
        self.count += len(means[0]) if means else 0

    @property
    def units(self) -> list[list[int]]:
        return [list(total.shape) for total in self.sums] if self.comparable else []

    @property
    def active(self) -> list[int]:
        if not self.comparable:
            return []
        variances = [
            square / self.count - (total / self.count).square()
            for total, square in zip(self.sums, self.squares, strict=True)
        ]
        return [int((variance > ACTIVE).sum()) for variance in variances]


@dataclass
class _Evidence:
    """What the draws of one batch say, per picture and in nats.

    Args:
        distortion, rates: means over draws: (N,), and (N,) for each group.
        weight: log of the mean importance weight, (N,).
        means: posterior mean of each group, (N, latent, H, W), averaged over draws: a group below
            another one sees what that drew.
    """

    distortion: Tensor
    rates: list[Tensor]
    weight: Tensor
    means: list[Tensor]


@torch.inference_mode()
def measure(
    model: GenerativeModel,
    pairs: Iterable[tuple[Tensor, Tensor | None]],
    *,
    draws: int = 1,
    seed: int = 0,
) -> Bits:
    """Evaluate the bound of a model on batches of pictures.

    Args:
        pairs: HR pictures (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255, and their LR
            versions, None for models that start from a constant.
        draws: posterior draws of the importance-weighted bound; 1 gives the ELBO alone.
        seed: of the draws.
    """
    noise, activity = Noise(seed), Activity()
    bits, nats, channels = [], [], []
    for hr, lr in pairs:
        seen = _evidence(model.bounds(hr, lr, noise, draws))
        bits.append(bits_per_dim(torch.stack([seen.distortion, -seen.weight, *seen.rates]), hr))
        nats.append(torch.stack(seen.rates))
        channels = [mean.shape[1] for mean in seen.means]
        activity.add(seen.means)
    distortion, bound, *rates = torch.cat(bits, dim=1).mean(dim=1).tolist()
    per_group = torch.cat(nats, dim=1).mean(dim=1).tolist()
    return Bits(
        total=distortion + sum(rates),
        distortion=distortion,
        rate=sum(rates),
        rates=rates,
        nats_per_map=[n / maps for n, maps in zip(per_group, channels, strict=True)],
        importance_weighted=bound if draws > 1 else None,
        draws=draws,
        units=activity.units,
        active=activity.active,
    )


def _evidence(bounds: Iterable[Bound]) -> _Evidence:
    """Folds one bound after another, so that a hundred draws take the memory of one."""
    terms: list[Tensor] = []
    means: list[Tensor] = []
    weight, draws = torch.tensor(-math.inf), 0
    for bound in bounds:
        terms = _added(terms, [bound.distortion, *bound.rates])
        means = _added(means, [_posterior_mean(latent) for latent in bound.latents])
        weight = torch.logaddexp(weight.to(bound.distortion), bound.importance_weight)
        draws += 1
    distortion, *rates = [term / draws for term in terms]
    return _Evidence(distortion, rates, weight - math.log(draws), [mean / draws for mean in means])


def _added(sums: list[Tensor], values: list[Tensor]) -> list[Tensor]:
    """Sums so far, none at first, and the next values."""
    return [a + b for a, b in zip(sums, values, strict=True)] if sums else values


def _posterior_mean(latent: LatentSample) -> Tensor:
    assert latent.posterior is not None
    return latent.posterior.mean
