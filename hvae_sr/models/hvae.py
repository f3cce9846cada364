"""The conditional hierarchical VAE, VDVAE-shaped.

Rewon Child, "Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on Images",
ICLR 2021 (arXiv:2011.10650); top-down start from the LR picture as in the super-resolution stage
of Luhman and Luhman, "Optimizing Hierarchical Image VAEs for Sample Quality", 2022
(arXiv:2210.10205). A trained regression network may give the picture that the latents refine, as
in Chira et al., "Image Super-Resolution With Deep Variational Autoencoders", ECCV Workshops 2022
(arXiv:2203.09445).
"""

from typing import Any

from hvae_sr.models.hierarchy import Choices, HierarchicalVAE
from hvae_sr.nn import distributions


class HVAE(HierarchicalVAE):
    """p(x | y) = integral of p(x | z, y) prod_i p(z_i | z_<i, y) over latents, coarse to fine.

    Everything is convolutional, so weights trained on 8x8 -> 32x32 run on any picture. With
    `scale=1, start="constant"` the same class models pictures without an LR input: p(y).

    Args:
        scale: 2, 3 or 4; 1 without an LR input.
        widths: channels of each level, coarse to fine. Levels start at LR resolution and double;
            what is missing to HR is folded into channels (space to depth).
        groups: latent groups of each level.
        blocks: residual cells of the bottom-up pass at each level.
        latent: channels of each latent.
        start: `lr` (features of y start the top-down state) or `constant` (a learned vector).
        start_blocks: residual cells of the LR encoder.
        finish_blocks: residual cells after the last latent: they give its noise, which is
            independent from pixel to pixel, a shape.
        cell: `plain` or `bottleneck`, see `hvae_sr.nn.layers.cell`.
        likelihood: `mixture_of_logistics`, `logistic` or `gaussian`.
        mixtures: logistics per pixel of the mixture.
        degradation: name of the degradation the weights are for.
        lr_prior: config of p(y), see `GenerativeModel`.
        base_model: config of a trained network that gives the base image instead of bicubic.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[int] = [256, 192, 128],  # noqa: B006
        groups: list[int] = [2, 6, 6],  # noqa: B006
        blocks: list[int] = [2, 3, 3],  # noqa: B006
        latent: int = 16,
        start: str = "lr",
        start_blocks: int = 4,
        finish_blocks: int = 0,
        cell: str = "bottleneck",
        likelihood: str = "mixture_of_logistics",
        mixtures: int = 10,
        degradation: str = "gaussian",
        lr_prior: dict[str, Any] | None = None,
        base_model: dict[str, Any] | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, base_model, enlargement)
        self.assemble(
            widths=widths,
            groups=groups,
            blocks=blocks,
            choices=Choices(latent, cell=cell),
            start=start,
            start_blocks=start_blocks,
            finish_blocks=finish_blocks,
            likelihood=distributions.likelihood(likelihood, mixtures=mixtures),
        )
