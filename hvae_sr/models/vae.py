"""The plain VAE of the study: one latent variable the size of the LR image.

Diederik P. Kingma, Max Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv:1312.6114);
the conditional prior p(z | y) is that of Kihyuk Sohn, Honglak Lee, Xinchen Yan, "Learning
Structured Output Representation using Deep Conditional Generative Models", NeurIPS 2015.

    log p(x | y) >= E_q log p(x | z, y) - KL[q(z | x, y) || p(z | y)]

Departures: z is a map with the size of the LR image, not a vector; where there is a y, the means
of p(x | z, y) are offsets from its enlargement, and the encoder sees x beside its difference from
that; the prior's network updates the state, as in a VDVAE block.
"""

import torch
from torch import Tensor, nn

from hvae_sr.checks import one_of
from hvae_sr.models.arguments import Channels, DegradationConfig, Depth, ModelConfig
from hvae_sr.models.latent import Activations, Features, GenerativeModel, Level
from hvae_sr.nn import distributions
from hvae_sr.nn.distributions import likelihood_head
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.layers import (
    CellKind,
    conv1x1,
    folded,
    residuals,
    scaled,
    start_narrow,
)
from hvae_sr.nn.starts import checked_start, first_state

PRIORS = ("learned", "standard")


class VAE(GenerativeModel):
    """One level at LR resolution, one group: `latent` channels, 3 x 8 x 8 = 192 for 8x8 inputs.

    The default is conditional: prior p(z | y), decoder p(x | z, y) with a learned scale. The
    study's own model is `prior="standard", start="constant", likelihood="fixed_gaussian"`: the
    decoder then sees z alone, and `sample` needs no LR image.

    Args:
        scale: 2, 3 or 4.
        width: channels of encoder and decoder.
        blocks: residual cells of the encoder, and of the LR encoder.
        latent: channels of z.
        prior: `learned` (p(z | y)) or `standard` (N(0, I)).
        start: `lr` or `constant`.
        cell: see `hvae_sr.nn.layers.cell`.
        activation: `silu`, `gelu` or `relu`.
        likelihood: `gaussian` (learned scale), `fixed_gaussian`, `logistic` or
            `mixture_of_logistics`.
        sigma: standard deviation of `fixed_gaussian`, images in [0, 1].
        squash: end `fixed_gaussian` in a sigmoid.
        degradation: name of the degradation the weights are for.
        lr_prior: config of p(y), see `GenerativeModel`.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        width: Channels = 96,
        blocks: Depth = 3,
        latent: Channels = 3,
        prior: str = "learned",
        start: str = "lr",
        cell: str = "plain",
        activation: str = "silu",
        likelihood: str = "gaussian",
        sigma: float = 0.01,
        squash: bool = False,
        degradation: DegradationConfig = "gaussian",
        lr_prior: ModelConfig | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        one_of("prior", prior, PRIORS)
        self.is_conditional = checked_start(start, scale) == "lr"
        self.levels, self.reduction = [Level(width, 1, blocks, 1)], scale
        self.latent = latent
        kind = CellKind(cell, activation)
        self.start = first_state(start, width, blocks, kind)
        self.encoder = nn.Sequential(
            *folded(self.shown_channels, width, scale),
            residuals(kind, width, blocks),
        )
        self.posterior = kind(2 * width, width, 2 * latent)
        start_narrow(self.posterior.last, latent)
        self.prior = None
        if prior == "learned":
            self.prior = kind(width, width, 2 * latent + width)
            scaled(self.prior.last, 0)
        self.project = conv1x1(latent, width)
        self.refine = kind(width, width, width)
        self.likelihood = distributions.likelihood(likelihood, sigma=sigma, squash=squash)
        self.likelihood.has_base = self.is_conditional
        self.head = likelihood_head(width, self.likelihood, scale)

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """Features of x, and of its difference from the base image where there is one."""
        start, image = self.begin_bottom_up(hr, lr)
        return Activations(start, {0: self.encoder(image)})

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """z from q(z | x, y), or from p(z | y) without activations; then x."""
        start, features = self.begin(lr, activations, source)
        prior, h = self._prior(start.state)
        posterior = None
        if features:
            seen = torch.cat([h, features[0]], dim=1)
            posterior = DiagonalGaussian.from_raw(self.posterior(seen))
        latent = source.draw(prior, posterior)
        h = h + self.project(latent.z.to(h.dtype))
        h = h + self.refine(h)
        return Features(h, self.head(h), start.base), [latent]

    def _prior(self, h: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        """p(z | y), and the state that its network has updated."""
        if self.prior is None:
            return DiagonalGaussian.standard_at(h, self.latent), h
        raw, update = self.prior(h).split([2 * self.latent, h.shape[1]], dim=1)
        return DiagonalGaussian.from_raw(raw), h + update
