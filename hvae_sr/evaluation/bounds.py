"""bits/dim: the ELBO, its split into distortion and rate, the importance-weighted bound, and how
many latents carry anything."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hvae_sr.models.latent import (
    ACTIVITY_DRAWS,
    ELBO,
    ActiveUnits,
    GenerativeModel,
    mean_shifts,
    summed,
)
from hvae_sr.nn.distributions import bits_per_dim
from hvae_sr.nn.noise import Noise


@dataclass(frozen=True)
class Bits:
    """Means over images, in bits per colour value of the image that is modelled.

    Args:
        total: distortion + rate, the negative ELBO.
        distortion, rate: its two terms.
        rates: the rate of each group, coarse to fine.
        nats_per_map: KL of each group in nats, per latent channel and image.
        importance_weighted: the bound of Burda et al. 2016, or None when it was not asked for.
        draws: posterior draws behind it.
        units: (channels, height, width) of each group's latent; empty when images differ in size.
        active: how many of them are active in each group, see `ActiveUnits`.
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


@dataclass
class _Evidence:
    """What the draws of one batch say, per image and in nats.

    Args:
        distortion, rates: means over draws: (N,), and (N,) for each group.
        weight: log of the mean importance weight, (N,).
    """

    distortion: Tensor
    rates: list[Tensor]
    weight: Tensor


@torch.inference_mode()
def measure(
    model: GenerativeModel,
    pairs: Iterable[tuple[Tensor, Tensor | None]],
    *,
    draws: int = 1,
    seed: int = 0,
) -> Bits:
    """Evaluate the bound of a model on batches of images.

    Args:
        pairs: HR images (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255, and their LR
            versions, None for models that start from a constant.
        draws: posterior draws of the importance-weighted bound; 1 gives the ELBO alone.
        seed: of the draws.
    """
    noise, activity = Noise(seed), ActiveUnits()
    others = Noise(~seed)  # negative: what activity is averaged over changes no bound
    bits, nats, channels = [], [], []
    for hr, lr in pairs:
        seen = _evidence(model.elbos(hr, lr, noise, draws))
        shifts = mean_shifts(model.elbos(hr, lr, others, ACTIVITY_DRAWS))
        bits.append(bits_per_dim(torch.stack([seen.distortion, -seen.weight, *seen.rates]), hr))
        nats.append(torch.stack(seen.rates))
        channels = [shift.shape[1] for shift in shifts]
        activity.add(shifts)
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


def _evidence(bounds: Iterable[ELBO]) -> _Evidence:
    """Folds one bound after another, so that a hundred draws take the memory of one."""
    terms: list[Tensor] = []
    weight, draws = torch.tensor(-math.inf), 0
    for bound in bounds:
        terms = summed(terms, [bound.distortion, *bound.rates])
        weight = torch.logaddexp(weight.to(bound.distortion), bound.log_importance_weight)
        draws += 1
    distortion, *rates = [term / draws for term in terms]
    return _Evidence(distortion, rates, weight - math.log(draws))
