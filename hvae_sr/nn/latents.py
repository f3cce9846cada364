"""Diagonal Gaussian latents: their draws, densities and divergence, in float32 and nats."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal, Protocol, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.checks import one_of
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

    @classmethod
    def standard_at(cls, state: Tensor, latent: int) -> "DiagonalGaussian":
        """N(0, I) at every place of a state (N, width, H, W): (N, latent, H, W)."""
        n, _, height, width = state.shape
        return cls.standard(torch.zeros(n, latent, height, width, device=state.device))

    def moved(self, raw: Tensor) -> "DiagonalGaussian":
        """N(mean + delta_mean, (std delta_std)^2), of channels (delta_mean, raw); 0: self.

        The residual parameters of NVAE (Vahdat and Kautz 2020).
        """
        delta_mean, raw_std = raw.float().chunk(2, dim=1)
        delta_std = (softplus(raw_std) + STD_FLOOR) / (1 + STD_FLOOR)  # exactly 1 at 0
        return DiagonalGaussian(self.mean + delta_mean, self.std * delta_std)

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        if temperature == 0:
            return self.mean
        return self.mean + temperature * self.std * noise(self.mean)

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """KL(self || other) in nats, element by element, in closed form."""
        ratio = self.std / other.std
        distance = (self.mean - other.mean) / other.std
        return 0.5 * (ratio**2 + distance**2 - 1) - ratio.log()

    def rate(self, prior: "Distribution", z: Tensor) -> Tensor:
        """What the draw z costs in nats: `kl`, whatever was drawn, unless the prior has none."""
        if isinstance(prior, DiagonalGaussian):
            return self.kl(prior)
        return self.log_prob(z) - prior.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z, element by element, in nats."""
        return -0.5 * (((z - self.mean) / self.std) ** 2 + math.log(2 * math.pi)) - self.std.log()


class Distribution(Protocol):
    """Of a latent: `DiagonalGaussian`, or a flow as in `hvae_sr.nn.coupling`."""

    @property
    def mean(self) -> Tensor: ...

    @property
    def std(self) -> Tensor: ...

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """A draw whose deviations from the mean are multiplied by `temperature`."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z in nats, element by element; only their sum has a meaning."""


class Posterior(Distribution, Protocol):
    """What a latent is drawn from: `DiagonalGaussian`, or `hvae_sr.nn.flows.FlowedGaussian`."""

    def rate(self, prior: Distribution, z: Tensor) -> Tensor:
        """KL(posterior || prior) in nats, in closed form or estimated from the draw z alone."""


@dataclass
class LatentSample:
    """What one latent variable drew.

    Args:
        z: the draw, (N, latent, H, W).
        kl: KL(posterior || prior) in nats (N,), 0 for prior draws; of a posterior without a closed
            form its estimate from z alone.
        prior, posterior: the distributions that z was drawn from, or compared with.
    """

    z: Tensor
    kl: Tensor
    prior: Distribution
    posterior: Posterior | None = None


Temperature = float | Sequence[float]
Decode = Literal["mean", "sample"]
DECODES: tuple[Decode, ...] = get_args(Decode)


def checked_decode(decode: Decode) -> Decode:
    """The way of decoding, if there is such a one.

    Raises:
        ValueError: for any other.
    """
    one_of("decode", decode, DECODES)
    return decode


class LatentSource:
    """Where a top-down pass takes its latents from: given values first, then draws.

    One source serves one pass. The pass asks for its latents in order, coarse to fine.

    Args:
        noise: of the draws.
        temperature: scale of the standard deviations: one number, or one per level.
        given: values of the first latents; None, or the end of the list, leaves one to the draws.
        num_samples: draws for each image of the batch, see `repeat`.
        shape: (N, H, W) of the images, for a pass that is given neither an LR image nor
            activations.
        decode: `mean`, the expected image of the drawn latents, or `sample`, a draw of the image
            from the likelihood too.

    Raises:
        ValueError: for another way of decoding.
    """

    def __init__(
        self,
        noise: Noise | None = None,
        *,
        temperature: Temperature = 1.0,
        given: Sequence[Tensor | None] = (),
        num_samples: int = 1,
        shape: tuple[int, int, int] | None = None,
        decode: Decode = "mean",
    ):
        self.decode = checked_decode(decode)
        self.noise = noise or Noise()
        self.temperature = temperature
        self.num_samples = num_samples
        self.shape = shape
        self._given: Iterator[Tensor | None] = iter(given)

    def temperature_at(self, level: int) -> float:
        """The temperature of a level, counted from the coarsest; -1 is the finest."""
        if isinstance(self.temperature, int | float):
            return float(self.temperature)
        return self.temperature[level]

    def of_another_pass(self, shape: tuple[int, int, int] | None) -> Self:
        """For a pass that comes before this one: the same noise and given latents.

        Its temperature is this one's at the coarsest level.
        """
        other = type(self)(
            self.noise,
            temperature=self.temperature_at(0),
            num_samples=self.num_samples,
            shape=shape,
            decode=self.decode,
        )
        other._given = self._given
        return other

    def repeat(self, x: Tensor) -> Tensor:
        """What is computed once for each image -> once for each draw: (N, ...) -> (N S, ...)."""
        return x if self.num_samples == 1 else x.repeat_interleave(self.num_samples, dim=0)

    def ahead(self, count: int) -> list[Tensor | None]:
        """What is given for the next `count` latents, which are still to be asked for in order.

        For a pass that needs a given value before its turn: one that draws on the way up too.
        """
        found = list(islice(self._given, count))
        self._given = chain(found, self._given)
        return [*found, *[None] * (count - len(found))]

    def draw(
        self,
        prior: Distribution,
        posterior: Posterior | None = None,
        level: int = 0,
        drawn: Tensor | None = None,
    ) -> LatentSample:
        """The next latent: a given value, or a draw from the posterior, or else from the prior.

        Args:
            prior, posterior: both (N S, latent, H, W).
            level: whose temperature counts.
            drawn: a value that was drawn from this posterior before.
        """
        given = next(self._given, None)
        z = given if given is not None else drawn
        if z is None:
            z = (posterior or prior).sample(self.noise, self.temperature_at(level))
        if posterior is None:
            kl = torch.zeros(len(z), device=z.device)
        else:
            kl = posterior.rate(prior, z).sum(dim=(1, 2, 3))
        return LatentSample(z, kl, prior, posterior)
