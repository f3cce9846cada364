"""NVAE, given an LR picture.

Arash Vahdat, Jan Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder", NeurIPS 2020
(arXiv:2007.03898).

    p(z_l | z_<l) = N(mu, sigma^2)
    q(z_l | z_<l, x) = N(mu + delta_mu, (sigma delta_sigma)^2)
    KL = (delta_mu^2 / sigma^2 + delta_sigma^2 - log delta_sigma^2 - 1) / 2
    loss = -ELBO + lambda sum_i s_i,  s_i the largest singular value of layer i

The generative cells are depthwise (5x5) with squeeze and excitation, the encoder's are plain, and
one convolution each makes a prior and a posterior. There is no batch normalisation here, hence
nothing to estimate again before sampling.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.models.hierarchy import Choices, HierarchicalVAE, Merge
from hvae_sr.nn import distributions
from hvae_sr.nn.latents import STD_FLOOR, DiagonalGaussian, softplus


class Residual(Merge):
    """The posterior as an offset from the prior: when the prior moves, the posterior follows."""

    def posterior(self, raw: Tensor, prior: DiagonalGaussian) -> DiagonalGaussian:
        delta_mean, raw_std = raw.float().chunk(2, dim=1)
        delta_std = (softplus(raw_std) + STD_FLOOR) / (1 + STD_FLOOR)  # exactly 1 at 0
        return DiagonalGaussian(prior.mean + delta_mean, prior.std * delta_std)


class SpectralNorms(nn.Module):
    """The largest singular value of every convolution of a network, by power iteration.

    A weight (out, in, h, w) counts as the matrix (out, in h w), as in the paper's code and in
    Yoshida and Miyato 2017. The left singular vectors are kept from call to call, so one iteration
    each is enough while weights move slowly; they are part of the state, so that resuming is exact.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        shapes = [weight.shape for weight in convolutions(network)]
        self.vectors = nn.ParameterList(
            nn.Parameter(F.normalize(torch.randn(shape[0]), dim=0), requires_grad=False)
            for shape in shapes
        )

    def forward(self, network: nn.Module, iterations: int = 1) -> Tensor:
        """Their values, (layers,); gradients flow to the weights."""
        values = []
        for vector, weight in zip(self.vectors, convolutions(network), strict=True):
            matrix = weight.float().flatten(1)
            with torch.no_grad():
                for _ in range(iterations):
                    right = F.normalize(matrix.T @ vector, dim=0)
                    vector.copy_(F.normalize(matrix @ right, dim=0))
                right = F.normalize(matrix.T @ vector, dim=0)
            values.append(vector.clone() @ matrix @ right)
        return torch.stack(values)


def convolutions(network: nn.Module) -> list[Tensor]:
    """The weights of all convolutions, in the order of the modules."""
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]


class NVAE(HierarchicalVAE):
    """p(x | y) with many groups of latents at one resolution.

    Args:
        scale: 2, 3 or 4.
        widths: channels of each level, coarse to fine, from LR resolution on.
        groups: latents of each level; 0 at all levels but one is the paper's CIFAR-10 model.
        blocks: residual cells of the bottom-up pass at each level.
        latent: channels of each latent.
        start_blocks: residual cells of the LR encoder.
        cell: that refines the state, see `hvae_sr.nn.layers.cell`.
        spectral_weight: lambda of the spectral regularisation, 0 to leave it out.
        mixtures: logistics per pixel of the likelihood.
        degradation: name of the degradation the weights are for.
        lr_prior: config of p(y), see `GenerativeModel`.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[int] = [64, 64],  # noqa: B006
        groups: list[int] = [0, 6],  # noqa: B006
        blocks: list[int] = [1, 2],  # noqa: B006
        latent: int = 8,
        start_blocks: int = 3,
        cell: str = "mbconv",
        spectral_weight: float = 0.0,
        mixtures: int = 5,
        degradation: str = "gaussian",
        lr_prior: dict[str, Any] | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        self.assemble(
            widths=widths,
            groups=groups,
            blocks=blocks,
            choices=Choices(latent, cell=cell, sampler="single", merge=Residual()),
            start="lr",
            start_blocks=start_blocks,
            likelihood=distributions.MixtureOfLogistics(mixtures),
            encoder_cell="plain",
        )
        self.spectral_weight = spectral_weight
        self.spectral_norms = SpectralNorms(self.decoder) if spectral_weight else None

    def loss(self, hr: Tensor, lr: Tensor | None = None, **weights: float) -> dict[str, Tensor]:
        """`GenerativeModel.loss`, and the spectral regularisation where it is asked for."""
        terms = super().loss(hr, lr, **weights)
        if self.spectral_norms is None:
            return terms
        spectral = self.spectral_norms(self.decoder).sum()
        penalty = self.spectral_weight * spectral
        return {**terms, "loss": terms["loss"] + penalty, "spectral": spectral.detach()}
