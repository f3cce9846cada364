"""The plain VAE of the study: one latent variable the size of the LR picture.

Diederik P. Kingma, Max Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv:1312.6114);
the conditional prior p(z | y) is that of Kihyuk Sohn, Honglak Lee, Xinchen Yan, "Learning
Structured Output Representation using Deep Conditional Generative Models", NeurIPS 2015.
"""

from typing import Any

from hvae_sr.models.hierarchy import Choices, HierarchicalVAE
from hvae_sr.nn import distributions


class VAE(HierarchicalVAE):
    """One level at LR resolution, one group: `latent` channels, 3 x 8 x 8 = 192 for 8x8 inputs.

    The default is conditional: prior p(z | y), decoder p(x | z, y) with a learned scale. The
    study's own model is `prior="standard", start="constant", likelihood="fixed_gaussian"`: the
    decoder then sees z alone, and `sample` needs no LR picture.

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
        sigma: standard deviation of `fixed_gaussian`, pictures in [0, 1].
        squash: end `fixed_gaussian` in a sigmoid.
        degradation: name of the degradation the weights are for.
        lr_prior: config of p(y), see `GenerativeModel`.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        width: int = 96,
        blocks: int = 3,
        latent: int = 3,
        prior: str = "learned",
        start: str = "lr",
        cell: str = "plain",
        activation: str = "silu",
        likelihood: str = "gaussian",
        sigma: float = 0.01,
        squash: bool = False,
        degradation: str = "gaussian",
        lr_prior: dict[str, Any] | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        self.assemble(
            widths=[width],
            groups=[1],
            blocks=[blocks],
            choices=Choices(latent, cell=cell, activation=activation, prior=prior),
            start=start,
            start_blocks=blocks,
            likelihood=distributions.likelihood(likelihood, sigma=sigma, squash=squash),
        )
