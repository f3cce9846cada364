"""The conditional hierarchical VAE, a very deep VAE (VDVAE) that starts from an LR image.

Rewon Child, "Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on Images",
ICLR 2021 (arXiv:2011.10650); top-down start from the LR image as in the super-resolution stage
of Luhman and Luhman, "Optimizing Hierarchical Image VAEs for Sample Quality", 2022
(arXiv:2210.10205). A trained regression network may give the image that the latents refine, as
in Chira et al., "Image Super-Resolution With Deep Variational Autoencoders", ECCV Workshops 2022
(arXiv:2203.09445).

    p(x, z | y) = p(x | z, y) prod_i p(z_i | z_<i, y)
    q(z | x, y) = prod_i q(z_i | z_<i, x, y)

One group of the top-down pass, on the state h and features a of x at its resolution (figure 3):

    (p, u) = phi_p(h)         p(z_i | z_<i) = N(p)         q(z_i | z_<i, x) = N(phi_q(h, a))
    h <- h + u                h <- h + W z_i               h <- h + psi(h)

Departures: the start (above), and means of p(x | z, y) that are offsets from the enlarged LR image,
whose difference from x the encoder sees beside x; softplus standard deviations, 0.25 at first in
posteriors, instead of exponentials of 0; borders repeated instead of zeros; a state without a
learned gain at its end; per-resolution biases that are one vector for all places, so that images
may have any size, and 3x3 convolutions at the smallest resolutions too. With `resample="shuffle"`
levels are joined by sub-pixel convolutions instead of average pooling and repetition, with
`posterior_sees="updated"` phi_q sees h + u, and `projection_scale` may differ from 1/sqrt(groups),
which keeps latents alive in short runs. `start_blocks`, `finish_blocks` and `base_model` are not
in the paper.
"""

import math

import torch
from torch import Tensor, nn

from hvae_sr.checks import one_of
from hvae_sr.models.arguments import Channels, Count, DegradationConfig, Depth, ModelConfig
from hvae_sr.models.latent import Activations, Features, GenerativeModel
from hvae_sr.models.pyramid import Pyramid, pyramid
from hvae_sr.nn import distributions
from hvae_sr.nn.distributions import likelihood_head
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.layers import (
    CellKind,
    conv1x1,
    downsample,
    folded,
    pooled,
    repeated,
    residuals,
    scaled,
    start_narrow,
    upsample,
)
from hvae_sr.nn.starts import first_state

RESAMPLES = {"shuffle": (upsample, downsample), "pool": (repeated, pooled)}
SEEN = ("before", "updated")


class Encoder(nn.Module):
    """The deterministic pass over the HR image: features for each level that has latents."""

    def __init__(self, shape: Pyramid, inputs: int, kind: CellKind, resample: str):
        super().__init__()
        levels, self.top = shape.levels, shape.top
        self.stem = folded(inputs, levels[-1].width, shape.stem)
        self.levels = nn.ModuleList(
            residuals(kind, level.width, level.blocks) if i >= self.top else nn.Sequential()
            for i, level in enumerate(levels)
        )
        self.coarser = shape.coarser(RESAMPLES[resample][1])

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """(N, inputs, H, W) -> features by the index of the level."""
        features = self.stem(image)
        found = {}
        for index in reversed(range(self.top, len(self.levels))):
            found[index] = features = self.levels[index](features)
            if index > self.top:
                features = self.coarser[index - 1](features)
        return found


class LatentGroup(nn.Module):
    """One latent variable of the top-down pass: phi_p, phi_q, W and psi of the equations above.

    Args:
        width: channels of the state.
        latent: channels of z.
        depth: groups of the whole hierarchy, which residual branches are scaled down by.
        kind: of its networks.
        posterior_sees: the state `before` its update by the prior's network, or `updated`.
        projection_scale: of W at first.
    """

    def __init__(
        self,
        width: int,
        latent: int,
        depth: int,
        kind: CellKind,
        posterior_sees: str,
        projection_scale: float,
    ):
        super().__init__()
        self.latent, self.posterior_sees = latent, posterior_sees
        self.prior = kind(width, width, 2 * latent + width)
        scaled(self.prior.last, 0)
        self.posterior = kind(2 * width, width, 2 * latent)
        start_narrow(self.posterior.last, latent)
        self.project = scaled(conv1x1(latent, width), projection_scale)
        self.refine = kind(width, width, width)
        scaled(self.refine.last, 1 / math.sqrt(depth))

    def forward(
        self, h: Tensor, features: Tensor | None, source: LatentSource, level: int
    ) -> tuple[Tensor, LatentSample]:
        """State (N, width, H, W) and features of x, if any -> the next state, and the draw of z."""
        raw, update = self.prior(h).split([2 * self.latent, h.shape[1]], dim=1)
        prior, updated = DiagonalGaussian.from_raw(raw), h + update
        posterior = None
        if features is not None:
            seen = h if self.posterior_sees == "before" else updated
            posterior = DiagonalGaussian.from_raw(self.posterior(torch.cat([seen, features], 1)))
        draw = source.draw(prior, posterior, level)
        h = updated + self.project(draw.z.to(h.dtype))
        return h + self.refine(h), draw


class Decoder(nn.Module):
    """The top-down pass, from the coarse state to the fine one, group by group.

    Args:
        shape: the resolutions.
        groups: of each level.
        resample: see `HVAE`.
        finish: what the state passes after the last latent.
    """

    def __init__(
        self, shape: Pyramid, groups: list[list[LatentGroup]], resample: str, finish: nn.Module
    ):
        super().__init__()
        self.levels = nn.ModuleList(nn.ModuleList(level) for level in groups)
        self.finer = shape.finer(RESAMPLES[resample][0])
        self.finish = finish

    def forward(
        self, h: Tensor, features: dict[int, Tensor], source: LatentSource
    ) -> tuple[Tensor, list[LatentSample]]:
        """State at the coarsest level (N, width, h, w) -> finest state, draws coarse to fine."""
        draws = []
        for index, groups in enumerate(self.levels):
            if index > 0:
                h = self.finer[index - 1](h)
            assert isinstance(groups, nn.ModuleList)
            for group in groups:
                h, draw = group(h, features.get(index), source, index)
                draws.append(draw)
        return self.finish(h), draws


class HVAE(GenerativeModel):
    """p(x | y) = integral of p(x | z, y) prod_i p(z_i | z_<i, y) over latents, coarse to fine.

    Everything is convolutional, so weights trained on 8x8 -> 32x32 run on any image. With
    `scale=1, start="constant"` the same class models images without an LR input: p(x), or p(y).

    Args:
        scale: 2, 3 or 4; 1 without an LR input.
        widths: channels of each level, coarse to fine. Levels start at LR resolution and double;
            what is missing to HR is folded into channels (space to depth).
        groups: latent groups of each level.
        blocks: residual cells of the bottom-up pass at each level.
        stem: of a model without an LR input, HR pixels per pixel of the finest level.
        latent: channels of each latent.
        start: `lr` (features of y start the top-down state) or `constant` (a learned vector).
        start_blocks: residual cells of the LR encoder.
        finish_blocks: residual cells after the last latent: they give its noise, which is
            independent from pixel to pixel, a shape.
        cell: `plain` or `bottleneck`, see `hvae_sr.nn.layers.cell`.
        bottleneck: width of the state over that of a bottleneck's middle; 4 in the paper.
        activation: `silu`, `gelu` (the paper's) or `relu`.
        resample: how levels are joined: `shuffle` (sub-pixel convolutions) or `pool` (the paper's).
        posterior_sees: the state `before` the prior's update (the paper's), or `updated`.
        projection_scale: of each latent's projection at first; left out, 1/sqrt(groups) as in the
            paper.
        likelihood: `mixture_of_logistics`, `logistic` or `gaussian`.
        mixtures: logistics per pixel of the mixture.
        degradation: name of the degradation the weights are for.
        lr_prior: config of p(y), see `GenerativeModel`.
        base_model: config of a trained network that gives the base image instead of bicubic.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.

    Raises:
        ValueError: for lists of different lengths, more levels than the scale has steps, or an
            unknown choice.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[Channels] = [256, 192, 128],  # noqa: B006
        groups: list[Depth] = [2, 6, 6],  # noqa: B006
        blocks: list[Depth] = [2, 3, 3],  # noqa: B006
        stem: Count = 1,
        latent: Channels = 16,
        start: str = "lr",
        start_blocks: Depth = 4,
        finish_blocks: Depth = 0,
        cell: str = "bottleneck",
        bottleneck: Count = 2,
        activation: str = "silu",
        resample: str = "shuffle",
        posterior_sees: str = "before",
        projection_scale: float | None = None,
        likelihood: str = "mixture_of_logistics",
        mixtures: Count = 10,
        degradation: DegradationConfig = "gaussian",
        lr_prior: ModelConfig | None = None,
        base_model: ModelConfig | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, base_model, enlargement)
        one_of("resample", resample, RESAMPLES)
        one_of("posterior_sees", posterior_sees, SEEN)
        if base_model is not None and start != "lr":
            raise ValueError("base_model: only a model that starts from the LR image has a base")
        shape = pyramid(scale, start, widths, groups, blocks, stem)
        self.levels, self.reduction = shape.levels, shape.reduction
        self.is_conditional = start == "lr"
        kind = CellKind(cell, activation, bottleneck)
        self.start = first_state(start, widths[0], start_blocks, kind)
        self.encoder = Encoder(shape, self.shown_channels, kind, resample)
        if projection_scale is None:
            projection_scale = shape.groups**-0.5
        of_group = latent, shape.groups, kind, posterior_sees, projection_scale
        latents = [
            [LatentGroup(level.width, *of_group) for _ in range(level.groups)]
            for level in shape.levels
        ]
        finish = residuals(kind, widths[-1], finish_blocks)
        self.decoder = Decoder(shape, latents, resample, finish)
        self.likelihood = distributions.likelihood(likelihood, mixtures=mixtures)
        self.likelihood.has_base = self.is_conditional
        self.head = likelihood_head(widths[-1], self.likelihood, shape.stem)
        if base_model is not None:
            self._amplify_errors(shape.stem)

    def _amplify_errors(self, stem: int) -> None:
        """Let the posteriors hear the errors of the base image as loudly as the image itself.

        A trained network leaves errors so small that young posteriors would not notice them.
        """
        first = self.encoder.stem[1]
        assert isinstance(first, nn.Conv2d)
        with torch.no_grad():
            first.weight[:, 3 * stem**2 :] *= math.exp(-self.likelihood.initial_log_scale)

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """See `GenerativeModel.bottom_up`."""
        start, image = self.begin_bottom_up(hr, lr)
        return Activations(start, self.encoder(image))

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """See `GenerativeModel.top_down`."""
        start, features = self.begin(lr, activations, source)
        h, draws = self.decoder(start.state, features, source)
        return Features(h, self.head(h), start.base), draws
