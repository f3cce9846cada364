"""The two passes of every hierarchical VAE: bottom-up over the HR picture, top-down over latents.

A level is one resolution; a level holds groups, each with one latent variable. The top-down pass
is written once: training (posterior), sampling (prior) and decoding (given latents) are the same
code, told apart only by what a group is handed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from hvae_sr.blocks import (
    cell,
    conv1x1,
    conv3x3,
    downsample,
    residuals,
    scaled,
    space_to_depth,
    upsample,
    within,
)
from hvae_sr.distributions import DiagonalGaussian, Noise

PRIORS = ("learned", "standard")
POSTERIOR_STD = 0.25  # a quiet start: posteriors of std 1 never woke up on short runs


@dataclass
class Level:
    """One resolution of the hierarchy, as data.

    Args:
        width: channels of the state.
        groups: number of latent groups.
        blocks: residual cells of the bottom-up pass.
        factor: how many times finer than the level above, along each side.
    """

    width: int
    groups: int
    blocks: int
    factor: int

    def __post_init__(self) -> None:
        within("groups", self.groups)


@dataclass
class Latent:
    """What one group drew: z (N, latent, H, W), its KL in nats (N,), 0 for prior draws."""

    z: Tensor
    kl: Tensor
    prior: DiagonalGaussian
    posterior: DiagonalGaussian | None = None


@dataclass
class Guide:
    """Where the top-down pass takes its latents from; the prior where nothing is given.

    Args:
        bottom_up: features for the posteriors, one map per level, coarse to fine.
        latents: given values, one per group, coarse to fine; a shorter list leaves the rest.
        temperatures: scale of the standard deviations, one per level.
        noise: source of the draws.
    """

    bottom_up: Sequence[Tensor] | None = None
    latents: Sequence[Tensor] = ()
    temperatures: Sequence[float] = ()
    noise: Noise = field(default_factory=Noise)


class LatentGroup(nn.Module):
    """One latent variable: prior p(z | h), posterior q(z | h, x), and what z does to the state.

    The shape of a VDVAE block (Child 2021): the prior's network also updates the state, the
    posterior sees state and bottom-up features side by side.
    """

    def __init__(self, width: int, latent: int, depth: int, kind: str, prior: str, activation: str):
        super().__init__()
        if prior not in PRIORS:
            raise ValueError(f"prior must be one of {PRIORS}, not {prior!r}")
        self.latent = latent
        self.prior = None
        if prior == "learned":
            self.prior = cell(kind, width, width, 2 * latent + width, activation)
            scaled(self.prior.last, 0)
        self.posterior = cell(kind, 2 * width, width, 2 * latent, activation)
        _start_quiet(self.posterior.last, latent)
        self.project = conv1x1(latent, width)
        self.refine = cell(kind, width, width, width, activation)
        scaled(self.refine.last, 1 / math.sqrt(depth))

    def forward(
        self,
        h: Tensor,
        bottom_up: Tensor | None = None,
        z: Tensor | None = None,
        temperature: float = 1.0,
        noise: Noise | None = None,
    ) -> tuple[Tensor, Latent]:
        """Draw (or take) z and fold it into the state: (N, width, H, W) -> the same, and a Latent.

        Args:
            h: the state.
            bottom_up: features of x at this resolution; z then comes from the posterior.
            z: a given latent, which wins over both distributions.
            temperature: factor on the standard deviation of the draw.
            noise: source of the draw.
        """
        prior, h = self._prior(h)
        posterior = None
        if bottom_up is not None:
            raw = self.posterior(torch.cat([h, bottom_up], dim=1))
            posterior = DiagonalGaussian.from_raw(raw)
        if z is None:
            z = (posterior or prior).sample(noise or Noise(), temperature)
        kl = posterior.kl(prior).sum(dim=(1, 2, 3)) if posterior else h.new_zeros(h.shape[0])
        h = h + self.project(z.to(h.dtype))
        return h + self.refine(h), Latent(z, kl, prior, posterior)

    def _prior(self, h: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        if self.prior is None:
            n, _, height, width = h.shape
            return DiagonalGaussian.standard(h.new_zeros(n, self.latent, height, width).float()), h
        raw = self.prior(h)
        distribution = DiagonalGaussian.from_raw(raw[:, : 2 * self.latent])
        return distribution, h + raw[:, 2 * self.latent :]


class TopDown(nn.Module):
    """From the coarse state to the fine one, drawing each group's latent on the way."""

    def __init__(
        self, levels: Sequence[Level], latent: int, kind: str, prior: str, activation: str
    ):
        super().__init__()
        depth = max(1, sum(level.groups for level in levels))
        self.levels = nn.ModuleList(
            nn.ModuleList(
                LatentGroup(level.width, latent, depth, kind, prior, activation)
                for _ in range(level.groups)
            )
            for level in levels
        )
        self.finer = nn.ModuleList(
            upsample(coarse.width, fine.width, fine.factor) for coarse, fine in pairwise(levels)
        )

    def forward(self, h: Tensor, guide: Guide) -> tuple[Tensor, list[Latent]]:
        """State at the coarsest level (N, width, h, w) -> finest state, latents coarse to fine."""
        given: Iterator[Tensor] = iter(guide.latents)
        latents = []
        for index, groups in enumerate(self.levels):
            assert isinstance(groups, nn.ModuleList)
            if index > 0:
                h = self.finer[index - 1](h)
            bottom_up = guide.bottom_up[index] if guide.bottom_up is not None else None
            temperature = guide.temperatures[index] if guide.temperatures else 1.0
            for group in groups:
                h, latent = group(h, bottom_up, next(given, None), temperature, guide.noise)
                latents.append(latent)
        return h, latents


class BottomUp(nn.Module):
    """The deterministic pass over the HR picture: one feature map per level, coarse to fine.

    Args:
        levels: coarse to fine.
        inputs: channels of the picture handed in.
        stem: HR pixels per pixel of the finest level, folded into channels (space to depth).
    """

    def __init__(self, levels: Sequence[Level], inputs: int, stem: int, kind: str, activation: str):
        super().__init__()
        finest = levels[-1]
        self.stem = nn.Sequential(space_to_depth(stem), conv3x3(inputs * stem**2, finest.width))
        self.levels = nn.ModuleList(
            residuals(kind, level.width, level.blocks, activation) for level in levels
        )
        self.coarser = nn.ModuleList(
            downsample(fine.width, coarse.width, fine.factor) for coarse, fine in pairwise(levels)
        )

    def forward(self, picture: Tensor) -> list[Tensor]:
        features = self.stem(picture)
        maps: list[Tensor] = []
        for index in reversed(range(len(self.levels))):
            features = self.levels[index](features)
            maps.insert(0, features)
            if index > 0:
                features = self.coarser[index - 1](features)
        return maps


def _start_quiet(conv: nn.Conv2d, latent: int) -> None:
    """Let posteriors begin at standard deviation `POSTERIOR_STD`."""
    assert conv.bias is not None
    with torch.no_grad():
        conv.bias[latent:] = math.log2(2**POSTERIOR_STD - 1)
