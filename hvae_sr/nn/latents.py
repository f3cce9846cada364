"""Diagonal Gaussian latents: their draws, densities and divergence, in float32 and nats."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.nn.noise import Noise

STD_FLOOR = 1e-3


def softplus(raw: Tensor) -> Tensor:
    """Raw output of a network -> standard deviation, 1 at 0.

    With beta = ln 2 (Efficient-VDVAE, Hazami et al. 2022); never explodes as an exponential does.
    """
    return F.softplus(raw, beta=math.log(2))


@dataclass
class DiagonalGaussian:
    """N(mean, std^2), element by element; both (N, latent, H, W)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def from_raw(cls, raw: Tensor) -> "DiagonalGaussian":
        """Channels (mean, raw std) of a network -> distribution; raw 0 means N(0, 1)."""
        mean, std = raw.float().chunk(2, dim=1)
        return cls(mean, softplus(std) + STD_FLOOR)

    @classmethod
    def standard(cls, like: Tensor) -> "DiagonalGaussian":
        return cls(torch.zeros_like(like), torch.ones_like(like))

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        if temperature == 0:
            return self.mean
        return self.mean + temperature * self.std * noise(self.mean)

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """KL(self || other) in nats, element by element, in closed form."""
        ratio = self.std / other.std
        distance = (self.mean - other.mean) / other.std
        return 0.5 * (ratio**2 + distance**2 - 1) - ratio.log()

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z, element by element, in nats."""
        return -0.5 * (((z - self.mean) / self.std) ** 2 + math.log(2 * math.pi)) - self.std.log()


@dataclass
class LatentSample:
    """What one latent variable drew.

    Args:
        z: the draw, (N, latent, H, W).
        kl: KL(posterior || prior) in nats (N,), 0 for prior draws.
        prior, posterior: the distributions that z was drawn from, or compared with.
    """

    z: Tensor
    kl: Tensor
    prior: DiagonalGaussian
    posterior: DiagonalGaussian | None = None
