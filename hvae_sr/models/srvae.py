"""srVAE: an image by way of its smaller version, each with a latent variable of its own.

Ioannis Gatopoulos, Maarten Stol, Jakub M. Tomczak, "Super-resolution Variational Auto-Encoders",
2020 (arXiv:2006.05218); sizes after the authors' code, github.com/ioangatop/srVAE.

    p(x, y, z, u) = p(u) p(y | u) p(z | y, u) p(x | y, z)
    q(u, z | x, y) = q(u | y) q(z | x, y)
    log p(x, y) >= log p(y | u) - KL[q(u | y) || p(u)]
                 + log p(x | y, z) - KL[q(z | x, y) || p(z | y, u)]

p(u) is a flow, u = f(v) with v ~ N(0, I). y is a function of x, so this bounds log p(x) itself: the
bits of both images add up. Given y alone, u is drawn from q(u | y), then z from p(z | y, u); from
nothing, u from p(u) and y from p(y | u). x does not see u, and q(z | x, y) does not either.

Departures: residual cells instead of densely connected, weight-normalised ones with ELUs and gates
that average over the whole image, so that images may have any size; borders repeated instead of
zeros; images are folded into channels (space to depth) where there are fewer levels than the
paper's; all couplings of p(u) work at the resolution of u, without squeezing it, and start as the
identity; p(z | y, u) and p(x | y, z) share their features of y, which p(x | y, z) has in place of
the enlarged y; its means are offsets from that; in both likelihoods the means of green and blue
move with the errors of the channels before, not with their values; q(z | x, y) is shown x and its
difference from the enlarged y, in the authors' code x alone; softplus standard deviations instead
of exponentials of clipped logarithms, 0.25 at first in posteriors and 1 in p(z | y, u). The scale
may be 3 or 4 too, and y made by any degradation.
"""

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, Count, DegradationConfig, Depth
from hvae_sr.models.latent import ELBO, Activations, Features, GenerativeModel, Start
from hvae_sr.models.pyramid import doubling, from_latent, to_latent
from hvae_sr.nn import distributions
from hvae_sr.nn.coupling import RealNVP
from hvae_sr.nn.distributions import likelihood_head
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.layers import CellKind, resampled, residuals, scaled
from hvae_sr.nn.resize import quantise
from hvae_sr.nn.starts import FromLR


class FlowPriorVAE(GenerativeModel):
    """log p(y) >= log p(y | u) - KL[q(u | y) || p(u)]: the paper's VAE with a bijective prior.

    `SRVAE` has one for its LR images. All arguments are described there.
    """

    def __init__(
        self,
        widths: list[int],
        blocks: list[int],
        reduction: int,
        latent: int,
        couplings: int,
        coupling_width: int,
        coupling_blocks: int,
        cell: str,
        mixtures: int,
        degradation: DegradationConfig,
    ):
        super().__init__(1, degradation, lr_prior=None)
        self.is_conditional = False
        shape, kind = doubling(reduction, widths, blocks), CellKind(cell)
        self.levels, self.reduction = shape.levels, reduction
        self.prior = RealNVP(latent, couplings, coupling_width, coupling_blocks, kind)
        self.encoder = to_latent(3, shape, kind, latent)
        self.decoder = from_latent(latent, shape, kind)
        self.likelihood = distributions.MixtureOfLogistics(mixtures)
        self.likelihood.has_base = False
        self.head = likelihood_head(widths[-1], self.likelihood, shape.stem)

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """q(u | y); here y is `hr`."""
        raw = self.encoder(2 * hr - 1)
        return Activations(Start(raw, torch.zeros_like(hr)), {0: raw})

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """u from q(u | y), or from p(u) without activations; then p(y | u)."""
        posterior = None
        if activations is not None:
            posterior = DiagonalGaussian.from_raw(source.repeat(activations.levels[0]))
            n, _, height, width = posterior.mean.shape
        else:
            assert source.shape is not None
            n, *sides = source.shape
            height, width = (side // self.reduction for side in sides)
        u = source.draw(self.prior.of((n, height, width), self.device), posterior)
        h = self.decoder(u.z.to(next(self.parameters()).dtype))
        raw = self.head(h)
        return Features(h, raw, torch.zeros_like(raw[:, :3])), [u]


class SRVAE(GenerativeModel):
    """Two images from two latents; `lr_prior` is p(u), p(y | u) and q(u | y), the rest p(x | y).

    `encode` returns, and `decode` takes, u and then z.

    Args:
        scale: 2, 3 or 4.
        widths: channels of the levels of z's networks, from z's resolution on, each twice as fine;
            what is missing to HR is folded into channels.
        blocks: residual cells at each of them, of q(z | x, y) and of p(x | y, z).
        z_reduction: HR pixels per pixel of z, along each side; 4 in the paper.
        prior_blocks: residual cells of p(z | y, u).
        finish_blocks: residual cells of p(x | y, z) where z and y have met, at the finest level.
        start_width, start_blocks: channels and residual cells of the features of y.
        u_widths, u_blocks: as `widths` and `blocks`, of u's networks q(u | y) and p(y | u).
        u_reduction: LR pixels per pixel of u, along each side; 2 in the paper.
        couplings: of the flow p(u).
        coupling_width, coupling_blocks: channels and residual cells of its networks.
        latent: channels of u, and of z.
        cell: see `hvae_sr.nn.layers.CellKind`.
        mixtures: logistics per pixel of both likelihoods.
        degradation: name of the degradation the weights are for.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.

    Raises:
        ValueError: for lists of different lengths, more levels than a reduction has steps, or a
            resolution of z that does not fit LR.
    """

    is_joint: ClassVar[bool] = True
    lr_prior: FlowPriorVAE

    def __init__(
        self,
        scale: int = 4,
        widths: list[Channels] = [48],  # noqa: B006
        blocks: list[Depth] = [2],  # noqa: B006
        z_reduction: Count = 2,
        prior_blocks: Depth = 2,
        finish_blocks: Depth = 2,
        start_width: Channels = 64,
        start_blocks: Depth = 2,
        u_widths: list[Channels] = [48],  # noqa: B006
        u_blocks: list[Depth] = [2],  # noqa: B006
        u_reduction: Count = 2,
        couplings: Depth = 4,
        coupling_width: Channels = 24,
        coupling_blocks: Depth = 1,
        latent: Channels = 8,
        cell: str = "bottleneck",
        mixtures: Count = 5,
        degradation: DegradationConfig = "gaussian",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior=None, enlargement=enlargement)
        self.lr_prior = FlowPriorVAE(
            widths=u_widths,
            blocks=u_blocks,
            reduction=u_reduction,
            latent=latent,
            couplings=couplings,
            coupling_width=coupling_width,
            coupling_blocks=coupling_blocks,
            cell=cell,
            mixtures=mixtures,
            degradation=degradation,
        )
        shape, kind = doubling(z_reduction, widths, blocks), CellKind(cell)
        self.reduction = math.lcm(z_reduction, scale * u_reduction)
        coarsest = replace(shape.levels[0], factor=self.reduction // z_reduction)
        self.levels = [coarsest, *shape.levels[1:]]
        self.start = FromLR(start_width, start_blocks, kind)
        self.encoder = to_latent(6, shape, kind, latent)
        self.y_to_z = resampled(start_width, widths[0], scale, z_reduction)
        self.u_to_z = resampled(latent, widths[0], scale * u_reduction, z_reduction)
        last = kind(widths[0], widths[0], 2 * latent)
        scaled(last.last, 0)
        self.prior = nn.Sequential(residuals(kind, widths[0], prior_blocks), last)
        self.decoder = from_latent(latent, shape, kind)
        self.y_to_x = resampled(start_width, widths[-1], scale, shape.stem)
        self.finish = residuals(kind, widths[-1], finish_blocks)
        self.likelihood = distributions.MixtureOfLogistics(mixtures)
        self.head = likelihood_head(widths[-1], self.likelihood, shape.stem)

    @property
    def groups(self) -> int:
        """u and z."""
        return self.lr_prior.groups + super().groups

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """q(z | x, y) and, in `of_lr`, q(u | y)."""
        assert lr is not None
        start, image = self.begin_bottom_up(hr, lr)
        return Activations(start, {0: self.encoder(image)}, self.lr_prior.bottom_up(lr))

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """u, from q(u | y) where y is known and from p(u) where not; then z and x.

        Without y it is drawn from p(y | u) and rounded to 8 bits.
        """
        of_lr, small = None, None
        if activations is not None:
            of_lr = activations.of_lr
        elif lr is not None:
            of_lr = self.lr_prior.bottom_up(lr)
        else:
            assert source.shape is not None
            n, height, width = source.shape
            small = (n, height // self.scale, width // self.scale)
        first = source.of_another_pass(small)
        of_y, (u,) = self.lr_prior.top_down(None, of_lr, first)
        if lr is None:
            lr = quantise(self.lr_prior.image(of_y, first))
        start = activations.start if activations is not None else self.start_from(lr, None)
        features, z = self._given(start, u.z, activations, source)
        return replace(features, of_lr=of_y), [u, z]

    def _given(
        self, start: Start, u: Tensor, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, LatentSample]:
        """z from q(z | x, y), or from p(z | y, u) without activations; then p(x | y, z)."""
        of_y = source.repeat(start.state)
        raw = self.prior(self.y_to_z(of_y) + self.u_to_z(u.to(of_y.dtype)))
        posterior = None
        if activations is not None:
            posterior = DiagonalGaussian.from_raw(source.repeat(activations.levels[0]))
        z = source.draw(DiagonalGaussian.from_raw(raw), posterior)
        h = self.finish(self.decoder(z.z.to(of_y.dtype)) + self.y_to_x(of_y))
        return Features(h, self.head(h), source.repeat(start.base)), z

    def best_guess(self, lr: Tensor | None, shape: tuple[int, int, int], bound: ELBO) -> Features:
        """See `GenerativeModel.best_guess`; the networks of u are not run again."""
        assert lr is not None and bound.latents[0].posterior is not None
        u = bound.latents[0].posterior.mean[: len(lr)]
        source = LatentSource(temperature=0.0)
        return self._given(self.start_from(lr, None), u, None, source)[0]

    def log_likelihood(self, features: Features, hr: Tensor, lr: Tensor | None) -> Tensor:
        """log p(x | y, z) + log p(y | u) of the same u."""
        assert lr is not None and features.of_lr is not None
        of_y = self.lr_prior.log_likelihood(features.of_lr, lr, None)
        return super().log_likelihood(features, hr, lr) + of_y
