"""The Ladder VAE, given an LR image.

Casper Kaae Sønderby, Tapani Raiko, Lars Maaløe, Søren Kaae Sønderby, Ole Winther, "Ladder
Variational Autoencoders", NeurIPS 2016 (arXiv:1602.02282), and its code, casperkaae/LVAE.

    p(x, z | y) = p(x | z_1, y) p(z_L | y) prod_{i<L} p(z_i | z_{i+1}, y)

Each latent hears the one just above it, and y. Inference first rises from x by a deterministic
chain, one step and one Gaussian for every latent, d_0 = x:

    d_i = MLP(d_{i-1})        q^(z_i | x) = N(mu^_i, sigma^_i^2), both linear in d_i

and then shares the way down with generation, so that the data correct the prior
p(z_i | z_{i+1}, y) = N(mu^p_i, sigma^p_i^2) by as much as they know:

    q(z_L | x) = q^(z_L | x)
    q(z_i | z_{i+1}, x) = N(mu_i, sigma_i^2),
        sigma_i^-2 = sigma^_i^-2 + sigma^p_i^-2
        mu_i = sigma_i^2 (mu^_i sigma^_i^-2 + mu^p_i sigma^p_i^-2)

The rate's weight rises from near 0 in training ("deterministic warm-up"): that is the recipe's.

Departures: y, which every p hears, enlarged on the way down; the encoder then sees x beside its
difference from the enlarged y, whose offsets the means of p(x | z_1, y) are. Without y, what all p
hear is a learned vector, a bias, and p(z_L) = N(0, I) as in the paper. Latents are maps, several
of one resolution, instead of vectors that halve; residual cells of convolutions are the MLPs, and
a 3x3 convolution is what is linear in d_i and what gives p; SiLU replaces the leaky rectifier. No
batch normalisation, which the paper found essential: tiles would differ from the whole, so
residual branches start small instead. Softplus gives standard deviations, not variances: 0.25 at
first in q^ (priors start as N(0, I)). A mixture of logistics replaces the Bernoulli and Gaussian
likelihoods; the bound is that of one draw with its rate in closed form. With `merge="bottom_up"`
q = q^, what the merge is compared with; in the paper's VAE a step sees the draw of the latent below
it instead of that latent's features.
"""

from itertools import repeat

import torch
from torch import Tensor, nn

from hvae_sr.checks import one_of
from hvae_sr.models.arguments import Channels, Count, DegradationConfig, Depth, ModelConfig
from hvae_sr.models.latent import Activations, Features, GenerativeModel, Level
from hvae_sr.models.pyramid import Pyramid, pyramid
from hvae_sr.nn.distributions import MixtureOfLogistics, likelihood_head
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.layers import (
    Cell,
    CellKind,
    conv1x1,
    downsample,
    folded,
    residuals,
    scaled,
    start_narrow,
    upsample,
)
from hvae_sr.nn.starts import first_state

MERGES = ("precision", "bottom_up")


def precision_weighted(rising: DiagonalGaussian, prior: DiagonalGaussian) -> DiagonalGaussian:
    """The normalised product of two Gaussians: precisions add up, means are weighted by them."""
    precision, prior_precision = rising.std**-2, prior.std**-2
    variance = 1 / (precision + prior_precision)
    mean = variance * (precision * rising.mean + prior_precision * prior.mean)
    return DiagonalGaussian(mean, variance.sqrt())


def gaussian(kind: CellKind, width: int, latent: int) -> Cell:
    """What is linear in features, but for their activation: mean and raw standard deviation."""
    return CellKind("single", kind.activation)(width, width, 2 * latent)


class Step(nn.Module):
    """d_{i-1} -> d_i, and q^(z_i | x): (N, width, H, W) -> the same, and (N, 2 latent, H, W)."""

    def __init__(self, kind: CellKind, level: Level, latent: int, depth: int):
        super().__init__()
        self.cells = residuals(kind, level.width, level.blocks, depth)
        self.rising = gaussian(kind, level.width, latent)
        start_narrow(self.rising.last, latent)

    def forward(self, d: Tensor) -> tuple[Tensor, Tensor]:
        d = self.cells(d)
        return d, self.rising(d)


class Encoder(nn.Module):
    """The chain of d_i that rises from x, one step for every latent.

    Args:
        shape: the resolutions.
        inputs: channels of the image handed in.
        latent: channels of each latent.
        kind: of the cells.
    """

    def __init__(self, shape: Pyramid, inputs: int, latent: int, kind: CellKind):
        super().__init__()
        levels, self.top = shape.levels, shape.top
        depth = sum(max(1, level.groups) * level.blocks for level in levels[self.top :])
        self.stem = folded(inputs, levels[-1].width, shape.stem)
        self.cells = nn.ModuleList(
            residuals(kind, level.width, shape.passed(index), depth)
            for index, level in enumerate(levels)
        )
        self.steps = nn.ModuleList(
            nn.ModuleList(Step(kind, level, latent, depth) for _ in range(level.groups))
            for level in levels
        )
        self.coarser = shape.coarser(downsample)

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Image (N, inputs, H, W) -> q^ by the index of the level, (N, groups * 2 latent, h, w).

        Each holds (mean, raw std) of its latents one after another, in the order of their draws.
        """
        d, found = self.stem(image), {}
        for index in reversed(range(self.top, len(self.steps))):
            d = self.cells[index](d)
            steps = self.steps[index]
            assert isinstance(steps, nn.ModuleList)
            raws = []
            for step in reversed(steps):
                d, raw = step(d)
                raws.append(raw)
            if raws:
                found[index] = torch.cat(raws[::-1], dim=1)
            if index > self.top:
                d = self.coarser[index - 1](d)
        return found


class LatentVariable(nn.Module):
    """One z_i: p(z_i | z_{i+1}, y), the merge of q^ with it, and what z_i tells the one below.

    Args:
        kind, level, latent: see `Encoder`.
        merged: whether q is the product of q^ and p; else q is q^.
        learned: whether a network gives p; else p is N(0, I).
    """

    def __init__(self, kind: CellKind, level: Level, latent: int, merged: bool, learned: bool):
        super().__init__()
        self.latent, self.merged = latent, merged
        self.prior = gaussian(kind, level.width, latent) if learned else None
        if self.prior is not None:
            scaled(self.prior.last, 0)
        self.project = conv1x1(latent, level.width)
        self.cells = residuals(kind, level.width, level.blocks)

    def forward(
        self, h: Tensor, y: Tensor, raw: Tensor | None, source: LatentSource, level: int
    ) -> tuple[Tensor, LatentSample]:
        """What z_{i+1} told and y (both (N, width, H, W)), q^ if any -> what z_i tells, its draw.

        Above z_L there is only y, which then stands for h.
        """
        if self.prior is not None:
            prior = DiagonalGaussian.from_raw(self.prior(h))
        else:
            prior = DiagonalGaussian.standard_at(h, self.latent)
        posterior = None
        if raw is not None:
            posterior = DiagonalGaussian.from_raw(raw)
            if self.merged:
                posterior = precision_weighted(posterior, prior)
        draw = source.draw(prior, posterior, level)
        return self.cells(y + self.project(draw.z.to(y.dtype))), draw


class Decoder(nn.Module):
    """The way down: z_L, ..., z_1, each of which hears z_{i+1} and y alone; q(z_L) is q^(z_L).

    Args:
        shape, latent, kind: see `Encoder`.
        merged: of the latents below the first, see `LatentVariable`.
        learned: of the first.
    """

    def __init__(self, shape: Pyramid, latent: int, kind: CellKind, merged: bool, learned: bool):
        super().__init__()
        levels, first = shape.levels, (shape.top, 0)
        self.cells = nn.ModuleList(
            residuals(kind, level.width, shape.passed(index)) for index, level in enumerate(levels)
        )
        self.latents = nn.ModuleList(
            nn.ModuleList(
                LatentVariable(kind, level, latent, merged=False, learned=learned)
                if (index, number) == first
                else LatentVariable(kind, level, latent, merged, learned=True)
                for number in range(level.groups)
            )
            for index, level in enumerate(levels)
        )
        self.finer = shape.finer(upsample)

    def forward(
        self, y: Tensor, rising: dict[int, Tensor], source: LatentSource
    ) -> tuple[Tensor, list[LatentSample]]:
        """Features of y (N, width, h, w), q^ if any -> what z_1 tells, draws coarse to fine."""
        h, draws = y, []
        for index, latents in enumerate(self.latents):
            if index > 0:
                h, y = self.finer[index - 1](h), self.finer[index - 1](y)
            h = self.cells[index](h)
            assert isinstance(latents, nn.ModuleList)
            raws = rising[index].chunk(len(latents), 1) if index in rising else repeat(None)
            for latent, raw in zip(latents, raws, strict=False):
                h, draw = latent(h, y, raw, source, index)
                draws.append(draw)
        return h, draws


class LadderVAE(GenerativeModel):
    """p(x | y) with latents of which each hears only the one above it, and y.

    With `start="constant"` the same class models images without an LR input: p(x), as the paper.

    Args:
        groups: latents of each level.
        blocks: residual cells between two latents of a level, on the way up and on the way down.
        merge: `precision`, or `bottom_up`: q(z_i | x) = q^, what the merge is compared with.
        scale, widths, latent, start, start_blocks, mixtures, degradation, lr_prior, enlargement:
            see `HVAE`.
        cell, activation: see `hvae_sr.nn.layers.CellKind`.

    Raises:
        ValueError: for lists of different lengths, more levels than the scale has steps, latents
            without a step of their own, or an unknown choice.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[Channels] = [96, 64],  # noqa: B006
        groups: list[Depth] = [1, 3],  # noqa: B006
        blocks: list[Depth] = [1, 2],  # noqa: B006
        latent: Channels = 8,
        start: str = "lr",
        start_blocks: Depth = 3,
        merge: str = "precision",
        cell: str = "bottleneck",
        activation: str = "silu",
        mixtures: Count = 5,
        degradation: DegradationConfig = "gaussian",
        lr_prior: ModelConfig | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        one_of("merge", merge, MERGES)
        shape = pyramid(scale, start, widths, groups, blocks)
        if any(level.groups and not level.blocks for level in shape.levels):
            raise ValueError("blocks: a level with latents needs at least one")
        self.levels, self.reduction = shape.levels, shape.reduction
        self.is_conditional = start == "lr"
        kind = CellKind(cell, activation)
        self.start = first_state(start, widths[0], start_blocks, kind)
        self.encoder = Encoder(shape, self.shown_channels, latent, kind)
        self.decoder = Decoder(shape, latent, kind, merge == "precision", self.is_conditional)
        self.likelihood = MixtureOfLogistics(mixtures)
        self.likelihood.has_base = self.is_conditional
        self.head = likelihood_head(widths[-1], self.likelihood, shape.stem)

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """See `GenerativeModel.bottom_up`: q^ of every latent, see `Encoder.forward`."""
        start, image = self.begin_bottom_up(hr, lr)
        return Activations(start, self.encoder(image))

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """See `GenerativeModel.top_down`."""
        start, rising = self.begin(lr, activations, source)
        h, draws = self.decoder(start.state, rising, source)
        return Features(h, self.head(h), start.base), draws
