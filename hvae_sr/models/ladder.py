"""The Ladder VAE, given an LR picture.

Casper Kaae Sønderby, Tapani Raiko, Lars Maaløe, Søren Kaae Sønderby, Ole Winther, "Ladder
Variational Autoencoders", NeurIPS 2016 (arXiv:1602.02282).

    p(z) = p(z_L) prod_i p(z_i | z_{i+1})
    q(z_i | z_{i+1}, x) = N(mu_i, sigma_i^2), the precision-weighted product of
        q^(z_i | x) = N(mu^_i, sigma^_i^2), which rises from x, and
        p(z_i | z_{i+1}) = N(mu^p_i, sigma^p_i^2), which comes down from above:
    sigma_i^-2 = sigma^_i^-2 + sigma^p_i^-2
    mu_i = sigma_i^2 (mu^_i sigma^_i^-2 + mu^p_i sigma^p_i^-2)

So inference and generation share the way down, and the data correct the prior by as much as they
know. The rate's weight rises from near 0 in training ("deterministic warm-up"): that is the
recipe's `quiet` and `warmup`.
"""

from typing import Any

from torch import Tensor

from hvae_sr.models.hierarchy import Choices, HierarchicalVAE, Merge
from hvae_sr.nn import distributions
from hvae_sr.nn.latents import DiagonalGaussian


def precision_weighted(rising: DiagonalGaussian, prior: DiagonalGaussian) -> DiagonalGaussian:
    """The normalised product of two Gaussians: precisions add up, means are weighted by them."""
    precision, prior_precision = rising.std**-2, prior.std**-2
    variance = 1 / (precision + prior_precision)
    mean = variance * (precision * rising.mean + prior_precision * prior.mean)
    return DiagonalGaussian(mean, variance.sqrt())


class PrecisionWeighted(Merge):
    """q^ is made from features of x alone; the state enters through the prior."""

    sees_state = False

    def posterior(self, raw: Tensor, prior: DiagonalGaussian) -> DiagonalGaussian:
        return precision_weighted(DiagonalGaussian.from_raw(raw), prior)


class LadderVAE(HierarchicalVAE):
    """p(x | y) with latents of which each hears only the one above it, and y.

    Every level sees features of y, enlarged on the way down; apart from those, all that a latent
    has to say reaches the picture through the latents below it.

    Args:
        scale: 2, 3 or 4.
        widths: channels of each level, coarse to fine, from LR resolution on.
        groups: latents of each level.
        blocks: residual cells of the bottom-up pass at each level.
        latent: channels of each latent.
        start_blocks: residual cells of the LR encoder.
        merge: `precision`, or `bottom_up`: q(z_i | x) = q^, the VAE that the paper compares with.
        cell: see `hvae_sr.nn.layers.cell`.
        mixtures: logistics per pixel of the likelihood.
        degradation: name of the degradation the weights are for.
        lr_prior: config of p(y), see `GenerativeModel`.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[int] = [96, 64],  # noqa: B006
        groups: list[int] = [1, 3],  # noqa: B006
        blocks: list[int] = [1, 2],  # noqa: B006
        latent: int = 8,
        start_blocks: int = 3,
        merge: str = "precision",
        cell: str = "bottleneck",
        mixtures: int = 5,
        degradation: str = "gaussian",
        lr_prior: dict[str, Any] | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        if merge not in MERGES:
            raise ValueError(f"merge must be one of {tuple(MERGES)}, not {merge!r}")
        self.assemble(
            widths=widths,
            groups=groups,
            blocks=blocks,
            choices=Choices(latent, cell=cell, merge=MERGES[merge](), links="latent"),
            start="lr",
            start_blocks=start_blocks,
            likelihood=distributions.MixtureOfLogistics(mixtures),
        )


class BottomUpOnly(Merge):
    """q(z_i | x) = q^(z_i | x): what comes down from above has no say."""

    sees_state = False


MERGES = {"precision": PrecisionWeighted, "bottom_up": BottomUpOnly}
