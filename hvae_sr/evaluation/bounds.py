"""bits/dim: the ELBO, its split into distortion and rate, and the importance-weighted bound."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hvae_sr.distributions import Noise, bits_per_dim
from hvae_sr.generative import GenerativeModel


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
    """

    total: float
    distortion: float
    rate: float
    rates: list[float]
    nats_per_map: list[float]
    importance_weighted: float | None = None
    draws: int = 1


@torch.inference_mode()
def measure(
    model: GenerativeModel,
    hr: Tensor,
    lr: Tensor | None = None,
    *,
    draws: int = 1,
    seed: int = 0,
    batch: int = 100,
) -> Bits:
    """Evaluate the bound of a model on pictures.

    Args:
        hr: (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255.
        lr: their LR versions, for conditional models.
        draws: posterior draws of the importance-weighted bound; 1 gives the ELBO alone.
        seed: of the draws.
        batch: pictures per pass.
    """
    noise = Noise(seed)
    distortions, rates, weights, maps = [], [], [], None
    for start in range(0, len(hr), batch):
        part = hr[start : start + batch]
        small = lr[start : start + batch] if lr is not None else None
        bounds = [model.bound(part, small, noise) for _ in range(draws)]
        distortions.append(torch.stack([b.distortion for b in bounds]).mean(dim=0))
        rates.append(torch.stack([torch.stack(b.rates) for b in bounds]).mean(dim=0))
        weights.append(log_mean_exp(torch.stack([b.importance_weight for b in bounds])))
        maps = [latent.z.shape[1] for latent in bounds[0].latents]
    distortion = bits_per_dim(torch.cat(distortions), hr).mean()
    nats = torch.cat(rates, dim=1).mean(dim=1)
    rate = bits_per_dim(nats, hr)
    bound = float(-bits_per_dim(torch.cat(weights), hr).mean()) if draws > 1 else None
    return Bits(
        total=float(distortion + rate.sum()),
        distortion=float(distortion),
        rate=float(rate.sum()),
        rates=[float(r) for r in rate],
        nats_per_map=[float(n) / m for n, m in zip(nats, maps or [], strict=True)],
        importance_weighted=bound,
        draws=draws,
    )


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """(K, N) log-weights -> log of their mean over draws, per picture: (N,)."""
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))
