"""NVAE, given an LR image.

Arash Vahdat, Jan Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder", NeurIPS 2020
(arXiv:2007.03898), and its code, github.com/NVlabs/NVAE.

    p(x, z | y) = p(x | z, y) prod_l p(z_l | z_<l, y)
    p(z_l | z_<l, y) = N(mu, sigma^2)
    q(z_l | z_<l, x, y) = N(mu + delta_mu, (sigma delta_sigma)^2), then `flows` IAF cells
    KL_l = (delta_mu^2 / sigma^2 + delta_sigma^2 - log delta_sigma^2 - 1) / 2, without flows

The encoder goes deeper for every latent: a_L, ..., a_1 are features of x after ever more cells, and
z_1 is given the deepest. A group of the decoder, on its state s:

    s <- cells(s)    p = N(W_p elu(s))    q from C_q (a_l + W_a s)    s <- W_s [s, z_l]

Cells are x + `cell_scale` SE(f(x)). In the encoder f is swish, 3x3, swish, 3x3; in the decoder it
is 1x1 to `expansion` times the channels, swish, depthwise 5x5, swish, 1x1. The levels after the
last latent are the paper's pre- and post-processing. Training minimises

    -E log p(x | z, y) + beta sum_l gamma_l KL_l + lambda sum_i s_i

s_i the largest singular value of convolution i; while beta < 1, gamma_l is proportional to KL_l
over the size of z_l, and 1 on average; log lambda falls linearly in beta (`spectral_start`).

Departures: the start, learned p(z_1 | y), and means of p(x | z, y) that are offsets from the
enlarged LR image, whose difference from x the encoder sees beside x. Without y, the first state is
one vector for all places, so that images may have any size. No batch normalisation, hence no
penalty on its scales and nothing to estimate again before sampling; no weight normalisation. SE
averages over a neighbourhood, so that a tile looks as it does in the whole; swish in it. Borders
are repeated instead of zeros (but in flows), sub-pixel convolutions take the place of bilinear
interpolation, the likelihood's last convolution is 1x1. Softplus standard deviations, 0.25 at
first in posteriors, instead of exponentials; means are not clamped; priors start as N(0, I), W_s
as the state plus a projection of z, so that latents live in short runs, for which `cell_scale` may
exceed the code's 0.1. Space to depth is one convolution, not four. Where `stem` or the scale folds
HR pixels into channels, `finish_blocks` are the post-processing. The code's gamma_l counts size
over the latents of its resolution; here, as its authors explain it, it is that of z_l.
"""

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, Count, DegradationConfig, Depth, ModelConfig
from hvae_sr.models.latent import Activations, Features, GenerativeModel, Level
from hvae_sr.models.pyramid import Pyramid, pyramid
from hvae_sr.nn.distributions import MixtureOfLogistics, bits_per_dim, likelihood_head
from hvae_sr.nn.excited import Cells, combiner
from hvae_sr.nn.flows import Flow, FlowedGaussian
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource, Posterior
from hvae_sr.nn.layers import CellKind, conv1x1, conv3x3, folded, scaled, start_narrow
from hvae_sr.nn.spectral import SpectralNorms
from hvae_sr.nn.starts import first_state

LEAST = 0.01  # nats that every latent counts as spending when rates are balanced


class Encoder(nn.Module):
    """The deterministic pass over the HR image: features of another depth for every latent.

    `blocks` cells lead to each latent of a level, and through a level without latents; `inputs`
    are the channels of the image handed in.
    """

    def __init__(self, shape: Pyramid, inputs: int, cells: Cells):
        super().__init__()
        levels, self.top = shape.levels, shape.top
        self.groups = [level.groups for level in levels]
        self.stem = folded(inputs, levels[-1].width, shape.stem)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                cells.of_encoder(level.width, level.blocks)
                for _ in range(max(1, level.groups) if index >= self.top else 0)
            )
            for index, level in enumerate(levels)
        )
        self.coarser = shape.coarser(cells.encoder)
        width = levels[self.top].width
        self.deepest = nn.Sequential(nn.ELU(), conv1x1(width, width, "relu"), nn.ELU())

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """(N, inputs, H, W) -> features by the index of the latent, coarse to fine."""
        features = self.stem(image)
        found: list[Tensor] = []
        for index in reversed(range(self.top, len(self.levels))):
            steps = self.levels[index]
            assert isinstance(steps, nn.ModuleList)
            for step in steps:
                features = step(features)
                if self.groups[index]:
                    found.append(features)
            if index > self.top:
                features = self.coarser[index - 1](features)
        found[-1] = self.deepest(found[-1])
        return dict(enumerate(reversed(found)))


class LatentGroup(nn.Module):
    """One latent variable of the top-down pass, after the cells that lead to it.

    Args:
        level, cells: of the state, and on it.
        latent: channels of z.
        flows: pairs of IAF cells of the posterior.
        first: of a hierarchy that starts from a constant: p = N(0, I), and no state to hear.
    """

    def __init__(self, level: Level, latent: int, cells: Cells, flows: int, first: bool):
        super().__init__()
        width, self.latent = level.width, latent
        self.cells = self.prior = self.encoder_combiner = self.flow = None
        if not first:
            self.cells = cells.of_decoder(width, level.blocks)
            self.prior = nn.Sequential(nn.ELU(), scaled(conv1x1(width, 2 * latent), 0))
            self.encoder_combiner = conv1x1(width, width)
        self.posterior = conv3x3(width, 2 * latent)
        start_narrow(self.posterior, latent)
        if flows:
            self.flow = Flow(latent, flows)
        self.decoder_combiner = combiner(width, latent)

    def forward(
        self, s: Tensor, features: Tensor | None, source: LatentSource, level: int
    ) -> tuple[Tensor, LatentSample]:
        """State (N, width, H, W) and features of x, if any -> the next state, and the draw of z."""
        if self.cells is not None:
            s = self.cells(s)
        if self.prior is not None:
            prior = DiagonalGaussian.from_raw(self.prior(s))
        else:
            prior = DiagonalGaussian.standard_at(s, self.latent)
        posterior = self._posterior(s, features, prior) if features is not None else None
        draw = source.draw(prior, posterior, level)
        return self.decoder_combiner(torch.cat([s, draw.z.to(s.dtype)], dim=1)), draw

    def _posterior(self, s: Tensor, features: Tensor, prior: DiagonalGaussian) -> Posterior:
        """The prior, moved by what the features and the state say: it follows the prior."""
        if self.encoder_combiner is not None:
            features = features + self.encoder_combiner(s)
        posterior = prior.moved(self.posterior(features))
        return FlowedGaussian(posterior, self.flow) if self.flow is not None else posterior


class Decoder(nn.Module):
    """The top-down pass, from the coarse state to the fine one, latent by latent.

    Args:
        shape: the resolutions; a level without latents has `blocks` cells.
        latent, cells, flows: see `LatentGroup`. After the last latent cells expand half as much.
        finish_blocks: cells after the last level.
        constant: whether the first state is the same whatever the image.
    """

    def __init__(
        self,
        shape: Pyramid,
        latent: int,
        cells: Cells,
        flows: int,
        finish_blocks: int,
        constant: bool,
    ):
        super().__init__()
        levels = shape.levels
        last = max(index for index, level in enumerate(levels) if level.groups)
        after = replace(cells, expansion=max(1, cells.expansion // 2))
        of_level = [cells if index <= last else after for index in range(len(levels))]
        self.levels = nn.ModuleList(
            nn.ModuleList(
                LatentGroup(level, latent, cells, flows, constant and (index, i) == (shape.top, 0))
                for i in range(level.groups)
            )
            if level.groups
            else of_level[index].of_decoder(level.width, level.blocks)
            for index, level in enumerate(levels)
        )
        self.finer = nn.ModuleList(
            of_level[index + 1].decoder(coarse.width, fine.width, fine.factor)
            for index, (coarse, fine) in enumerate(pairwise(levels))
        )
        self.finish = after.of_decoder(levels[-1].width, finish_blocks)

    def forward(
        self, s: Tensor, features: dict[int, Tensor], source: LatentSource
    ) -> tuple[Tensor, list[LatentSample]]:
        """State at the coarsest level (N, width, h, w) -> finest state, draws coarse to fine."""
        draws: list[LatentSample] = []
        for index, level in enumerate(self.levels):
            if index > 0:
                s = self.finer[index - 1](s)
            if isinstance(level, nn.ModuleList):  # else a Sequential of cells
                for group in level:
                    s, draw = group(s, features.get(len(draws)), source, index)
                    draws.append(draw)
            else:
                s = level(s)
        return self.finish(s), draws


class NVAE(GenerativeModel):
    """p(x | y) with many latents at few resolutions, and features of x of its own depth for each.

    With `scale=1, start="constant"` the same class models images without an LR input: p(x).

    Args:
        groups: latents of each level, at least one in all. The paper's CIFAR-10 model has them at
            one level; finer levels without any are its pre- and post-processing.
        blocks: cells before each latent of a level, in encoder and decoder alike, or of a level
            without latents.
        finish_blocks: cells after the last level, which give the last latent's noise a shape
            where no finer level does.
        expansion: channels of a decoder cell's middle, for each that goes in; 6 in the paper, half
            of it after the last latent.
        cell_scale: of each cell's branch; more than the code's 0.1 learns faster in short runs.
        flows: pairs of inverse autoregressive flow cells of each posterior; the rates are then
            estimated from the draws.
        spectral_weight: lambda of the spectral regularisation, in nats per image as in the paper;
            0 leaves it out.
        spectral_start: lambda where beta is 0; left out (or 0), `spectral_weight` holds throughout.
        scale, widths, latent, start, stem, start_blocks, mixtures, degradation, lr_prior,
            enlargement: see `HVAE`.

    Raises:
        ValueError: for lists of different lengths, more levels than the scale has steps, no
            latents, or an unknown start.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[Channels] = [64, 64],  # noqa: B006
        groups: list[Depth] = [0, 6],  # noqa: B006
        blocks: list[Depth] = [0, 2],  # noqa: B006
        latent: Channels = 8,
        start: str = "lr",
        stem: Count = 1,
        start_blocks: Depth = 2,
        finish_blocks: Depth = 1,
        expansion: Count = 6,
        cell_scale: float = 0.1,
        flows: Depth = 0,
        spectral_weight: float = 0.01,
        spectral_start: float | None = None,
        mixtures: Count = 5,
        degradation: DegradationConfig = "gaussian",
        lr_prior: ModelConfig | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        shape = pyramid(scale, start, widths, groups, blocks, stem)
        if not any(groups):
            raise ValueError("groups: NVAE needs at least one latent")
        self.levels, self.reduction = shape.levels, shape.reduction
        self.is_conditional = start == "lr"
        self.start = first_state(start, widths[0], start_blocks, CellKind("plain"))
        cells = Cells(expansion, cell_scale)
        self.encoder = Encoder(shape, self.shown_channels, cells)
        self.decoder = Decoder(shape, latent, cells, flows, finish_blocks, not self.is_conditional)
        self.likelihood = MixtureOfLogistics(mixtures)
        self.likelihood.has_base = self.is_conditional
        self.head = likelihood_head(widths[-1], self.likelihood, shape.stem)
        self.spectral_weight = spectral_weight
        self.spectral_start = spectral_start or spectral_weight
        self.spectral_norms = SpectralNorms(*self._networks()) if spectral_weight else None

    def _networks(self) -> list[nn.Module]:
        return [self.start, self.encoder, self.decoder, self.head]

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """See `GenerativeModel.bottom_up`."""
        start, image = self.begin_bottom_up(hr, lr)
        return Activations(start, self.encoder(image))

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """See `GenerativeModel.top_down`."""
        start, features = self.begin(lr, activations, source)
        s, draws = self.decoder(start.state, features, source)
        return Features(s, self.head(s), start.base), draws

    def rate_weights(self, rates: Tensor, beta: float) -> Tensor:
        """gamma: a latent that spends more than others of its size pays more, in the warm-up."""
        if beta >= 1:
            return super().rate_weights(rates, beta)
        sizes, pixels = [], 1
        for level in self.levels:
            pixels *= level.factor**2
            sizes += [pixels] * level.groups
        spent = (rates.abs().mean(dim=0) + LEAST) / torch.tensor(sizes, device=rates.device)
        return spent / spent.mean()

    def loss(
        self, hr: Tensor, lr: Tensor | None = None, *, beta: float = 1.0, **weights: float
    ) -> dict[str, Tensor]:
        """`GenerativeModel.loss` with balanced rates while beta < 1, and the spectral penalty.

        The reported bits are the plain ELBO's. `spectral` is the sum of the singular values.
        """
        terms = super().loss(hr, lr, beta=beta, **weights)
        if self.spectral_norms is None:
            return terms
        spectral = self.spectral_norms(*self._networks()).sum()
        left = max(0.0, 1 - beta)  # of the warm-up
        weight = self.spectral_start**left * self.spectral_weight ** (1 - left)
        penalty = bits_per_dim(weight * spectral, hr)
        return {**terms, "loss": terms["loss"] + penalty, "spectral": spectral.detach()}
