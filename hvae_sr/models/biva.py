"""BIVA, given an LR image: latents on the way up as well as on the way down.

Lars Maaløe, Marco Fraccaro, Valentin Liévin, Ole Winther, "BIVA: A Very Deep Hierarchy of Latent
Variables for Generative Modeling", NeurIPS 2019 (arXiv:1902.02102); layers as in the authors' code,
github.com/vlievin/biva-pytorch.

    z = (z_L, z_(L-1), ..., z_1), coarse to fine, with z_i = (z_i^BU, z_i^TD) for i < L

    p(x, z | y) = p(x | z, y) p(z_L) prod_i p(z_i^BU | z_>i, y) p(z_i^TD | z_>i, y)
    q(z | x, y) = q(z_L | x, z_<L^BU) prod_i q(z_i^BU | x, z_<i^BU) q(z_i^TD | x, z_<i^BU, z_>i)

Two paths rise from x. The stochastic one hands up draws alone; the deterministic one never breaks.
What follows a semicolon are skip connections, here from the group below:

    b_i = B_i(z_(i-1)^BU; b_(i-1), t_(i-1))             q(z_i^BU | x, z_<i^BU) = N(phi_BU(b_i))
    t_i = T_i(t_(i-1); b_i)                             q(z_L | x, z_<L^BU) = N(phi(M(t_L; b_L)))

One path descends, with skip connections from the group above, block by block:

    p(z_L) = N(0, I)
    p(z_i^BU | z_>i), p(z_i^TD | z_>i) = N(phi_p(d_(i+1)))       d_i = D_i(z_i^BU, z_i^TD; d_(i+1))
    q(z_i^TD | x, z_<i^BU, z_>i) = N(phi_TD(M_i(t_i; d_(i+1))))

Latents are listed coarse to fine: z_L, then z_i^BU and z_i^TD of each group. Where there is an x,
noise is drawn for the z^BU first, fine to coarse, then for z_L and the z^TD, coarse to fine; a z^BU
that is given also rises.

Departures: the start, by which y, or without it a learned vector, reaches D_L by a skip connection,
and through it all below; means of p(x | z, y) that are offsets from the
enlarged LR image, whose difference from x the encoder sees beside x; one convolution of x before
both paths; 1x1 sub-pixel convolutions between resolutions, where the paper's blocks have strides,
and blocks for all paths at a resolution without latents; draws are not activated on the way up; at
the top M takes b_L by a 1x1 skip connection, not beside t_L; SiLU before the last convolution; He
initialisation, with residual branches scaled down by their number, instead of weight normalisation;
no dropout; softplus standard deviations, at first 0.25 in posteriors and 1 in priors; KL in closed
form, not from the draw; borders repeated instead of zeros; kernels as large as a whole map
(`latent_kernels`) are windows here, so that images may have any size. `start_blocks` and `stem` are
not in the paper, whose `bottleneck` is 1.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, Count, DegradationConfig, Depth, ModelConfig
from hvae_sr.models.latent import Activations, Features, GenerativeModel, Level
from hvae_sr.models.pyramid import pyramid
from hvae_sr.nn import distributions
from hvae_sr.nn.distributions import likelihood_head
from hvae_sr.nn.gated import GatedGroup as Group
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.layers import CellKind, downsample, folded, upsample
from hvae_sr.nn.starts import first_state


@dataclass(frozen=True)
class Inferred:
    """What the way up says at one group: b_i, t_i, and z_i^BU with its posterior, if any."""

    b: Tensor
    t: Tensor
    posterior: DiagonalGaussian | None = None
    z: Tensor | None = None


class Ascent(nn.Module):
    """One group on the way up, above the group `below`: B_i, T_i and phi_BU."""

    def __init__(self, group: Group, below: Group | None):
        super().__init__()
        self.channels, self.index, self.is_first = group.channels, group.index, below is None
        latent, width = below.rising if below is not None else 0, group.width
        self.coarser = None  # of what rises: z or b, t, and the skip connection
        if below is not None and below.index != group.index:
            inputs = [latent or below.width, below.width, 2 * below.width]
            self.coarser = nn.ModuleList(
                downsample(i, o, below.factor)
                for i, o in zip(inputs, [width, width, 2 * width], strict=True)
            )
            latent = 0
        self.stochastic = group.stack(0 if self.is_first else 2 * width, latent)
        self.deterministic = group.stack(width)
        self.posterior = group.posterior(group.rising) if group.rising else None

    def forward(self, below: Inferred) -> Inferred:
        """What is known at this group before its draw; the first is handed x as both b and t."""
        risen = [
            below.b if below.z is None else below.z.to(below.b.dtype),
            below.t,
            torch.cat([below.b, below.t], dim=1),
        ]
        if self.coarser is not None:
            risen = [coarser(part) for coarser, part in zip(self.coarser, risen, strict=True)]
        b, t, skip = risen
        b = self.stochastic(b, [] if self.is_first else [skip])[-1]
        return Inferred(b, self.deterministic(t, [b])[-1])

    def draw(self, found: Inferred, given: Tensor | None, source: LatentSource) -> Inferred:
        """The same with z_i^BU: a given value, or a draw of its posterior."""
        if self.posterior is None:
            return found
        q = DiagonalGaussian.from_raw(self.posterior(found.b))
        temperature = source.temperature_at(self.index)
        z = given if given is not None else q.sample(source.noise, temperature)
        return replace(found, posterior=q, z=z)


class Descent(nn.Module):
    """One group on the way down, below the group `above`: phi_p, M_i, phi_TD and D_i."""

    def __init__(self, group: Group, above: Group | None):
        super().__init__()
        self.channels, self.index = group.channels, group.index
        self.finer = None  # of what descends, as far as blocks here are skipped to
        if above is not None and above.index != group.index:
            self.finer = nn.ModuleList(
                upsample(above.width, group.width, group.factor)
                for _ in range(min(above.blocks, group.blocks))
            )
        self.prior = None  # of z_L: N(0, I)
        if self.channels:
            if above is not None:
                self.prior = group.prior(sum(self.channels))
            self.merge = group.block(group.width)
            self.posterior = group.posterior(self.channels[-1])
        self.stack = group.stack(group.width, sum(self.channels))

    def forward(
        self, above: list[Tensor], found: Inferred | None, source: LatentSource
    ) -> tuple[list[Tensor], list[LatentSample]]:
        """What the blocks above gave, and what was inferred of x -> the same of here, and draws."""
        if self.finer is not None:
            kept = above[-len(self.finer) :]
            above = [finer(d) for finer, d in zip(self.finer, kept, strict=True)]
        if not self.channels:
            return self.stack(above[-1], above), []
        d, draws = above[-1], []
        *of_rising, of_descending = self._priors(d)
        for prior in of_rising:
            q, z = (found.posterior, found.z) if found is not None else (None, None)
            draws.append(source.draw(prior, q, self.index, z))
        q = None
        if found is not None:
            seen = self.merge(found.t, d if of_rising else found.b)
            q = DiagonalGaussian.from_raw(self.posterior(seen))
        draws.append(source.draw(of_descending, q, self.index))
        z = torch.cat([draw.z for draw in draws], dim=1)
        return self.stack(z.to(d.dtype), above), draws

    def _priors(self, d: Tensor) -> list[DiagonalGaussian]:
        """Of each latent of the group, from what is above it."""
        if self.prior is None:
            return [DiagonalGaussian.standard_at(d, sum(self.channels))]
        raw = self.prior(d).split([2 * latent for latent in self.channels], dim=1)
        return [DiagonalGaussian.from_raw(part) for part in raw]


class BIVA(GenerativeModel):
    """p(x | y), or p(x), with bottom-up and top-down latents.

    Args:
        groups: groups z_i of each level, at least one at the coarsest. A group is two latents, but
            the topmost a single z_L; a level without groups has blocks all the same.
        blocks: blocks of each path in a group of each level, at least one.
        latent: channels of a latent: one number, or one for each group, coarse to fine.
        activation: `elu` (the paper's), `silu`, `gelu` or `relu`.
        bottleneck: width over that of a block's middle; 1 in the paper.
        kernels: sizes of the convolutions of blocks at each level; left out, 3.
        latent_kernels: sizes of those that give parameters of distributions; left out, 3.
        scale, widths, start, stem, start_blocks, mixtures, degradation, lr_prior, enlargement:
            see `HVAE`.

    Raises:
        ValueError: for lists of the wrong length, no z_L, a level without blocks or with a kernel
            of size 0, more levels than the scale has steps, or an unknown choice.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[Channels] = [48, 32],  # noqa: B006
        groups: list[Depth] = [1, 2],  # noqa: B006
        blocks: list[Depth] = [1, 1],  # noqa: B006
        latent: Channels | list[Channels] = 8,
        start: str = "lr",
        start_blocks: Depth = 2,
        stem: Count = 1,
        activation: str = "elu",
        bottleneck: Count = 1,
        kernels: list[Count] | None = None,
        latent_kernels: list[Count] | None = None,
        mixtures: Count = 5,
        degradation: DegradationConfig = "gaussian",
        lr_prior: ModelConfig | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        shape = pyramid(scale, start, widths, groups, blocks, stem)
        kind = CellKind("plain", activation, bottleneck)
        hierarchy = _hierarchy(shape.levels, latent, kernels, latent_kernels, kind)
        self.levels = [
            replace(level, groups=2 * level.groups - (index == 0))  # its latents
            for index, level in enumerate(shape.levels)
        ]
        self.reduction = shape.reduction
        self.is_conditional = start == "lr"
        self.start = first_state(start, widths[0], start_blocks, kind)
        self.stem = folded(self.shown_channels, widths[-1], shape.stem)
        rising = hierarchy[::-1]
        self.ascents = nn.ModuleList(map(Ascent, rising, [None, *rising]))
        self.descents = nn.ModuleList(map(Descent, hierarchy, [None, *hierarchy]))
        self.likelihood = distributions.MixtureOfLogistics(mixtures)
        self.likelihood.has_base = self.is_conditional
        self.head = likelihood_head(widths[-1], self.likelihood, shape.stem)

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """See `GenerativeModel.bottom_up`: both paths as far as nothing has been drawn."""
        start, image = self.begin_bottom_up(hr, lr)
        image = self.stem(image)
        found = self.ascents[0](Inferred(image, image))
        return Activations(start, {len(self.levels) - 1: torch.cat([found.b, found.t], dim=1)})

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """See `GenerativeModel.top_down`; every draw of a pass takes a way up of its own."""
        start = activations.start if activations is not None else self.start_from(lr, source.shape)
        inferred = iter(self._rise(activations, source) if activations is not None else [])
        features, draws = [source.repeat(start.state)], []
        for descent in self.descents:
            features, drawn = descent(features, next(inferred, None), source)
            draws += drawn
        return Features(features[-1], self.head(features[-1]), source.repeat(start.base)), draws

    def _rise(self, activations: Activations, source: LatentSource) -> list[Inferred]:
        """Draw every z^BU, fine to coarse -> what is inferred at each group, coarse to fine."""
        (known,) = activations.levels.values()
        b, t = source.repeat(known).chunk(2, dim=1)
        given = source.ahead(self.groups)
        found: list[Inferred] = []
        for ascent in self.ascents:
            assert isinstance(ascent, Ascent)
            here = ascent(found[-1]) if found else Inferred(b, t)
            own = [given.pop() for _ in ascent.channels]
            found.append(ascent.draw(here, own[-1] if own else None, source))
        return found[::-1]


def _hierarchy(
    levels: list[Level],
    latent: int | list[int],
    kernels: list[int] | None,
    latent_kernels: list[int] | None,
    kind: CellKind,
) -> list[Group]:
    """The groups of all levels, coarse to fine."""
    kernels, latent_kernels = kernels or [3] * len(levels), latent_kernels or [3] * len(levels)
    count = sum(level.groups for level in levels)
    sizes = [latent] * count if isinstance(latent, int) else latent
    if not len(kernels) == len(latent_kernels) == len(levels) or len(sizes) != count:
        raise ValueError("kernels need one entry per level, and latent one per group")
    if not levels[0].groups or not all(level.blocks for level in levels):
        raise ValueError("the coarsest level needs a group, and every level a block")
    if min(*kernels, *latent_kernels, *sizes) < 1:
        raise ValueError("kernels and latent must be at least 1")
    depth = sum(level.blocks * max(1, level.groups) for level in levels)
    coming = iter([sizes[:1], *[[size, size] for size in sizes[1:]]])
    return [
        Group(
            i,
            level.factor,
            level.width,
            level.blocks,
            channels,
            kernels[i],
            latent_kernels[i],
            kind,
            depth,
        )
        for i, level in enumerate(levels)
        for channels in ([next(coming) for _ in range(level.groups)] or [[]])
    ]
