"""The passes that hierarchical VAEs share: bottom-up over the HR image, top-down over latents.

A level is one resolution; a level holds groups, each with one latent variable. The top-down pass
is written once: training (posterior), sampling (prior) and decoding (given latents) are the same
code, told apart only by activations and the source of latents.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from hvae_sr.models.base import factors
from hvae_sr.models.latent import Activations, Features, GenerativeModel, Level
from hvae_sr.nn.distributions import Likelihood, likelihood_head
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.layers import (
    Cell,
    CellKind,
    conv1x1,
    conv3x3,
    downsample,
    residuals,
    scaled,
    space_to_depth,
    start_narrow,
    upsample,
)
from hvae_sr.nn.starts import FromConstant, FromLR, checked_start

PRIORS = ("learned", "standard")
LINKS = ("state", "latent")


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
        return CellKind(self.cell, self.activation)(width, width, width)

    def distribution(self, inputs: int, width: int, outputs: int) -> Cell:
        return CellKind(self.sampler or self.cell, self.activation)(inputs, width, outputs)


@dataclass
class Evidence:
    """What posteriors see of x at one level.

    Args:
        features: (N, width, H, W).
        drawn: the latent that a stochastic bottom-up pass drew there, and its distribution.
    """

    features: Tensor
    drawn: tuple[DiagonalGaussian, Tensor] | None = None


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
        start_narrow(network.last, self.latent)
        return network

    def forward(
        self,
        h: Tensor,
        source: LatentSource,
        level: int = 0,
        evidence: Evidence | None = None,
        onto: Tensor | None = None,
    ) -> tuple[Tensor, LatentSample]:
        """Draw (or take) z and fold it into the state: (N, width, H, W) -> the same, and the draw.

        Args:
            h: the state.
            source: of the latent.
            level: whose temperature counts.
            evidence: of x at this resolution; z then comes from the posterior.
            onto: what z is added to; the state when left out.
        """
        prior, h = self._prior(h)
        posterior = self._posterior(h, evidence, prior) if evidence is not None else None
        latent = source.draw(prior, posterior, level, self._drawn(evidence))
        h = (h if onto is None else onto) + self.project(latent.z.to(h.dtype))
        return h + self.refine(h), latent

    def _drawn(self, evidence: Evidence | None) -> Tensor | None:
        """A value that was drawn from the posterior before."""
        return None

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


class Decoder(nn.Module):
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

    def forward(
        self, h: Tensor, evidence: Mapping[int, Evidence], source: LatentSource
    ) -> tuple[Tensor, list[LatentSample]]:
        """State at the coarsest level (N, width, h, w) -> finest state, latents coarse to fine."""
        untouched = h if self.links == "latent" else None
        latents = []
        for index, groups in enumerate(self.levels):
            assert isinstance(groups, nn.ModuleList)
            if index > 0:
                finer = self.finer[index - 1]
                h = finer(h)
                untouched = finer(untouched) if untouched is not None else None
            for group in groups:
                h, latent = group(h, source, index, evidence.get(index), untouched)
                latents.append(latent)
        return self.finish(h), latents


class Encoder(nn.Module):
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
            residuals(CellKind(kind, activation), level.width, level.blocks)
            if i >= self.top
            else nn.Sequential()
            for i, level in enumerate(levels)
        )
        self.coarser = nn.ModuleList(
            downsample(fine.width, coarse.width, fine.factor) if i >= self.top else nn.Sequential()
            for i, (coarse, fine) in enumerate(pairwise(levels))
        )

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """(N, inputs, H, W) -> features by the index of the level."""
        features = self.stem(image)
        found = {}
        for index in reversed(range(self.top, len(self.levels))):
            found[index] = features = self.levels[index](features)
            if index > self.top:
                features = self.coarser[index - 1](features)
        return found


class HierarchicalVAE(GenerativeModel):
    """The passes that the papers share: one encoder, one decoder, latents in groups."""

    def assemble(
        self,
        *,
        widths: list[int],
        groups: list[int],
        blocks: list[int],
        choices: Choices,
        start: str,
        start_blocks: int,
        likelihood: Likelihood,
        encoder_cell: str | None = None,
        finish_blocks: int = 0,
    ) -> None:
        """Build the parts from per-level lists, coarse to fine.

        Args:
            widths, groups, blocks: see `Level`.
            choices: what the paper decides about its latents.
            start: what the top-down state starts from, of `STARTS`.
            start_blocks: residual cells of the LR encoder.
            likelihood: p(x | z).
            encoder_cell: kind of the encoders' cells; left out, that of `choices`.
            finish_blocks: residual cells after the last latent.

        Raises:
            ValueError: for lists of different lengths, more levels than the scale has steps, or
                an unknown choice.
        """
        if not len(widths) == len(groups) == len(blocks) >= 1:
            raise ValueError("widths, groups and blocks need one entry per level")
        checked_start(start, self.scale)
        if self.base_model is not None and start != "lr":
            raise ValueError("base_model: only a model that starts from the LR picture has a base")
        steps = factors(self.scale)
        if start == "constant":
            steps = (steps + [2] * len(widths))[: max(len(steps), len(widths) - 1)]
        if len(widths) > len(steps) + 1:
            raise ValueError(f"x{self.scale} has {len(steps) + 1} levels, not {len(widths)}")
        inner, tail = steps[: len(widths) - 1], steps[len(widths) - 1 :]
        self.levels = [
            Level(*level) for level in zip(widths, groups, blocks, [1, *inner], strict=True)
        ]
        self.reduction = math.prod(steps)  # HR pixels per pixel of the coarsest level
        stem = math.prod(tail)
        likelihood.has_base = start == "lr"
        self.is_conditional = start == "lr"
        cell, activation = encoder_cell or choices.cell, choices.activation
        self.start = (
            FromLR(widths[0], start_blocks, CellKind(cell, activation))
            if self.is_conditional
            else FromConstant(widths[0])
        )
        inputs = 6 if self.is_conditional else 3
        self.encoder = self._encoder(inputs, stem, cell, choices)
        if self.base_model is not None:
            _amplify_errors(self.encoder, stem, likelihood)
        depth = max(1, sum(groups))
        self.decoder = Decoder(
            self.levels,
            [self._groups(level, depth, choices) for level in self.levels],
            choices.links,
            residuals(CellKind(choices.cell, activation), widths[-1], finish_blocks),
        )
        self.likelihood = likelihood
        self.head = likelihood_head(widths[-1], likelihood, stem)

    def _encoder(self, inputs: int, stem: int, cell: str, choices: Choices) -> Encoder:
        return Encoder(self.levels, inputs, stem, cell, choices.activation)

    def _groups(self, level: Level, depth: int, choices: Choices) -> list[LatentGroup]:
        return [LatentGroup(level.width, depth, choices) for _ in range(level.groups)]

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """See `GenerativeModel.bottom_up`."""
        start = self.start_from(lr, (hr.shape[0], hr.shape[-2], hr.shape[-1]))
        x = 2 * hr - 1
        seen = torch.cat([x, x - start.base], dim=1) if self.is_conditional else x
        return Activations(start, self.encoder(seen))

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """See `GenerativeModel.top_down`."""
        start = activations.start if activations is not None else self.start_from(lr, source.shape)
        state, base = source.repeat(start.state), source.repeat(start.base)
        return self._descend(state, base, activations, source)

    def _descend(
        self, state: Tensor, base: Tensor, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        evidence = self._evidence(activations, source) if activations is not None else {}
        h, latents = self.decoder(state, evidence, source)
        return Features(h, self.head(h), base), latents

    def _evidence(self, activations: Activations, source: LatentSource) -> dict[int, Evidence]:
        """What posteriors see, by the index of the level."""
        return {i: Evidence(source.repeat(found)) for i, found in activations.levels.items()}


def _amplify_errors(encoder: Encoder, stem: int, likelihood: Likelihood) -> None:
    """Let the posteriors hear the errors of the base picture as loudly as the picture itself.

    A trained network leaves errors so small that young posteriors would not notice them.
    """
    first = encoder.stem[1]
    assert isinstance(first, nn.Conv2d)
    with torch.no_grad():
        first.weight[:, 3 * stem**2 :] *= math.exp(-likelihood.initial_log_scale)
