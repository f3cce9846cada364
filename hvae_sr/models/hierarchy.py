"""The two passes of every hierarchical VAE: bottom-up over the HR picture, top-down over latents.

A level is one resolution; a level holds groups, each with one latent variable. The top-down pass
is written once: training (posterior), sampling (prior) and decoding (given latents) are the same
code, told apart only by what a group is handed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from hvae_sr.nn.latents import DiagonalGaussian, LatentSample
from hvae_sr.nn.layers import (
    Cell,
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
from hvae_sr.nn.noise import Noise

PRIORS = ("learned", "standard")
LINKS = ("state", "latent")
STARTS = ("lr", "constant")
POSTERIOR_STD = 0.25  # a quiet start: posteriors of std 1 never woke up on short runs


class Merge:
    """How the posterior of a latent joins what rose from x with what came down from above.

    This one is VDVAE's (Child 2021): a network sees the state and the features of x side by side
    and says the posterior outright. Other papers' merges are subclasses in their own files.
    """

    sees_state = True

    def posterior(self, raw: Tensor, prior: DiagonalGaussian) -> DiagonalGaussian:
        """Output of the posterior's network (N, 2 * latent, H, W) and the prior -> q(z | ...)."""
        return DiagonalGaussian.from_raw(raw)


@dataclass(frozen=True)
class Choices:
    """What a paper decides about its latents, the same at every level.

    Args:
        latent: channels of each latent.
        cell: kind of the cells that refine the state, see `hvae_sr.nn.layers.cell`.
        sampler: kind of the networks of priors and posteriors; left out, that of `cell`.
        activation: of all networks.
        prior: `learned`, p(z | state), or `standard`, N(0, I).
        merge: how posteriors are made.
        links: `state`: a state carries all latents so far to the ones below (residual, VDVAE);
            `latent`: only the latent just above does (Ladder VAE).
    """

    latent: int
    cell: str = "plain"
    sampler: str | None = None
    activation: str = "silu"
    prior: str = "learned"
    merge: Merge = field(default_factory=Merge)
    links: str = "state"

    def __post_init__(self) -> None:
        if self.prior not in PRIORS:
            raise ValueError(f"prior must be one of {PRIORS}, not {self.prior!r}")
        if self.links not in LINKS:
            raise ValueError(f"links must be one of {LINKS}, not {self.links!r}")

    def refinement(self, width: int) -> Cell:
        return cell(self.cell, width, width, width, self.activation)

    def distribution(self, inputs: int, width: int, outputs: int) -> Cell:
        return cell(self.sampler or self.cell, inputs, width, outputs, self.activation)


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
class Evidence:
    """What the bottom-up pass says of x at one level.

    Args:
        features: (N, width, H, W).
        drawn: the latent that a stochastic bottom-up pass drew there, and its distribution.
    """

    features: Tensor
    drawn: tuple[DiagonalGaussian, Tensor] | None = None


@dataclass
class Guide:
    """Where the top-down pass takes its latents from; the prior where nothing is given.

    Args:
        evidence: what posteriors see, by the index of the level.
        latents: given values, one per group, coarse to fine; a shorter list leaves the rest.
        temperatures: scale of the standard deviations, one per level; all 1 when left out.
        noise: source of the draws.
        before: latents of a pass that came before this one, see `preceding`.
    """

    evidence: Mapping[int, Evidence] | None = None
    latents: Sequence[Tensor] = ()
    temperatures: Sequence[float] = ()
    noise: Noise = field(default_factory=Noise)
    before: list[LatentSample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._given = iter(self.latents)

    def next_given(self) -> Tensor | None:
        """The given value of the next group, in the order of the top-down pass."""
        return next(self._given, None)

    def temperature(self, level: int) -> float:
        return self.temperatures[level] if self.temperatures else 1.0

    def preceding(self, levels: int) -> "Guide":
        """The guide of a pass that comes before this one, over a hierarchy of `levels`.

        It takes the first of the given latents, the same noise and the coarsest temperature.
        """
        other = Guide(temperatures=[self.temperature(0)] * levels, noise=self.noise)
        other._given = self._given
        return other


class LatentGroup(nn.Module):
    """One latent variable: prior p(z | h), posterior q(z | h, x), and what z does to the state.

    As in a VDVAE block (Child 2021) the prior's network also updates the state.

    Args:
        width: channels of the state.
        depth: latents of the whole hierarchy, which residual branches are scaled down by.
        choices: see `Choices`.
    """

    def __init__(self, width: int, depth: int, choices: Choices):
        super().__init__()
        latent = self.latent = choices.latent
        self.merge = choices.merge
        self.prior = None
        if choices.prior == "learned":
            self.prior = choices.distribution(width, width, 2 * latent + width)
            scaled(self.prior.last, 0)
        self.posterior = self._posterior_network(width, choices)
        self.project = conv1x1(latent, width)
        self.refine = choices.refinement(width)
        scaled(self.refine.last, 1 / math.sqrt(depth))

    def _posterior_network(self, width: int, choices: Choices) -> Cell | None:
        inputs = 2 * width if choices.merge.sees_state else width
        network = choices.distribution(inputs, width, 2 * self.latent)
        start_quiet(network.last, self.latent)
        return network

    def forward(
        self,
        h: Tensor,
        evidence: Evidence | None = None,
        z: Tensor | None = None,
        temperature: float = 1.0,
        noise: Noise | None = None,
        onto: Tensor | None = None,
    ) -> tuple[Tensor, LatentSample]:
        """Draw (or take) z and fold it into the state: (N, width, H, W) -> the same, and the draw.

        Args:
            h: the state.
            evidence: of x at this resolution; z then comes from the posterior.
            z: a given latent, which wins over both distributions.
            temperature: factor on the standard deviation of the draw.
            noise: source of the draw.
            onto: what z is added to; the state when left out.
        """
        prior, h = self._prior(h)
        posterior = self._posterior(h, evidence, prior) if evidence is not None else None
        if z is None:
            z = self._draw(posterior or prior, evidence, temperature, noise or Noise())
        kl = posterior.kl(prior).sum(dim=(1, 2, 3)) if posterior else h.new_zeros(h.shape[0])
        h = (h if onto is None else onto) + self.project(z.to(h.dtype))
        return h + self.refine(h), LatentSample(z, kl, prior, posterior)

    def _prior(self, h: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        if self.prior is None:
            n, _, height, width = h.shape
            return DiagonalGaussian.standard(h.new_zeros(n, self.latent, height, width).float()), h
        raw = self.prior(h)
        distribution = DiagonalGaussian.from_raw(raw[:, : 2 * self.latent])
        return distribution, h + raw[:, 2 * self.latent :]

    def _posterior(
        self, h: Tensor, evidence: Evidence, prior: DiagonalGaussian
    ) -> DiagonalGaussian:
        assert self.posterior is not None
        features = evidence.features
        seen = torch.cat([h, features], dim=1) if self.merge.sees_state else features
        return self.merge.posterior(self.posterior(seen), prior)

    def _draw(
        self,
        distribution: DiagonalGaussian,
        evidence: Evidence | None,
        temperature: float,
        noise: Noise,
    ) -> Tensor:
        return distribution.sample(noise, temperature)


class TopDown(nn.Module):
    """From the coarse state to the fine one, drawing each group's latent on the way.

    Args:
        levels: coarse to fine.
        groups: the latent groups of each level.
        links: see `Choices`. With `latent` a second state, which no latent touches, goes down
            beside the first, and each latent is added to that one.
        finish: what the state passes after the last latent, which gives its noise a shape.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        groups: Sequence[Sequence[LatentGroup]],
        links: str = "state",
        finish: nn.Module | None = None,
    ):
        super().__init__()
        self.links = links
        self.finish = finish or nn.Identity()
        self.levels = nn.ModuleList(nn.ModuleList(level) for level in groups)
        self.finer = nn.ModuleList(
            upsample(coarse.width, fine.width, fine.factor) for coarse, fine in pairwise(levels)
        )

    def forward(self, h: Tensor, guide: Guide) -> tuple[Tensor, list[LatentSample]]:
        """State at the coarsest level (N, width, h, w) -> finest state, latents coarse to fine."""
        untouched = h if self.links == "latent" else None
        latents = []
        for index, groups in enumerate(self.levels):
            assert isinstance(groups, nn.ModuleList)
            if index > 0:
                finer = self.finer[index - 1]
                h = finer(h)
                untouched = finer(untouched) if untouched is not None else None
            evidence = guide.evidence.get(index) if guide.evidence is not None else None
            for group in groups:
                h, latent = group(
                    h,
                    evidence,
                    guide.next_given(),
                    guide.temperature(index),
                    guide.noise,
                    untouched,
                )
                latents.append(latent)
        return self.finish(h), latents


class FromLR(nn.Module):
    """Start of the top-down state: features of the LR picture, at LR resolution."""

    def __init__(self, width: int, blocks: int, cell: str, activation: str):
        super().__init__()
        self.features = nn.Sequential(conv3x3(3, width), residuals(cell, width, blocks, activation))

    def forward(self, lr: Tensor | None, shape: tuple[int, int, int]) -> Tensor:
        if lr is None:
            raise ValueError("this model needs an LR picture")
        return self.features(2 * lr - 1)


class FromConstant(nn.Module):
    """Start of the top-down state: one learned vector, expanded to any size."""

    def __init__(self, width: int):
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, lr: Tensor | None, shape: tuple[int, int, int]) -> Tensor:
        n, height, width = shape
        return self.vector.expand(n, -1, height, width)


class BottomUp(nn.Module):
    """The deterministic pass over the HR picture: features for each level that has latents.

    Args:
        levels: coarse to fine.
        inputs: channels of the picture handed in.
        stem: HR pixels per pixel of the finest level, folded into channels (space to depth).
        kind, activation: of the residual cells.
    """

    def __init__(self, levels: Sequence[Level], inputs: int, stem: int, kind: str, activation: str):
        super().__init__()
        finest = levels[-1]
        self.top = next((i for i, level in enumerate(levels) if level.groups), 0)
        self.stem = nn.Sequential(space_to_depth(stem), conv3x3(inputs * stem**2, finest.width))
        self.levels = nn.ModuleList(
            residuals(kind, level.width, level.blocks, activation)
            if i >= self.top
            else nn.Sequential()
            for i, level in enumerate(levels)
        )
        self.coarser = nn.ModuleList(
            downsample(fine.width, coarse.width, fine.factor) if i >= self.top else nn.Sequential()
            for i, (coarse, fine) in enumerate(pairwise(levels))
        )

    def forward(self, picture: Tensor, guide: Guide) -> dict[int, Evidence]:
        """(N, inputs, H, W) -> evidence by the index of the level."""
        features = self.stem(picture)
        evidence = {}
        for index in reversed(range(self.top, len(self.levels))):
            evidence[index], features = self._level(index, self.levels[index](features), guide)
            if index > self.top:
                features = self.coarser[index - 1](features)
        return evidence

    def _level(self, index: int, features: Tensor, guide: Guide) -> tuple[Evidence, Tensor]:
        """What is said of x at a level, and what goes on to the coarser ones."""
        return Evidence(features), features


def start_quiet(conv: nn.Conv2d, latent: int) -> None:
    """Let posteriors begin at standard deviation `POSTERIOR_STD`."""
    assert conv.bias is not None
    with torch.no_grad():
        conv.bias[latent:] = math.log2(2**POSTERIOR_STD - 1)
