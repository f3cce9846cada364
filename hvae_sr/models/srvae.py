"""srVAE: a picture by way of a smaller one, each with latents of its own.

Ioannis Gatopoulos, Maarten Stol, Jakub M. Tomczak, "Super-resolution Variational Auto-Encoders",
2020 (arXiv:2006.05218).

    p(x, y, z, u) = p(u) p(y | u) p(z | y, u) p(x | y, z)
    q(u, z | x, y) = q(u | y) q(z | x, y, u)
    log p(x, y) >= log p(y | u) - KL[q(u | y) || p(u)]
                 + log p(x | y, z) - KL[q(z | x, y, u) || p(z | y, u)]

y is a function of x, so this bounds log p(x) itself: the bits of both stages add up. Given y alone,
u is drawn from q(u | y), then z from p(z | y, u); from nothing, u from p(u). Where the paper has a
flow as p(u), here u is a small hierarchy, and so is z.
"""

from dataclasses import replace

from torch import Tensor

from hvae_sr.models.hierarchy import Choices, HierarchicalVAE
from hvae_sr.models.hvae import HVAE
from hvae_sr.models.latent import Activations, Features
from hvae_sr.nn import distributions
from hvae_sr.nn.latents import LatentSample, LatentSource
from hvae_sr.nn.layers import conv1x1
from hvae_sr.nn.resize import quantise


class SRVAE(HierarchicalVAE):
    """Two stages trained together: `lr_prior` is p(u), p(y | u), q(u | y), the rest p(x | y).

    `encode` returns, and `decode` takes, the latents of u first and then those of z.

    Args:
        scale: 2, 3 or 4.
        widths: channels of each level of z, coarse to fine, from LR resolution on.
        groups: latents of each level of z.
        blocks: residual cells of the bottom-up pass at each level of z.
        u_widths, u_groups, u_blocks: the same for u; its finest level has LR resolution.
        latent: channels of each latent.
        start_blocks: residual cells of the LR encoder.
        cell: see `hvae_sr.nn.layers.cell`.
        mixtures: logistics per pixel of both likelihoods.
        degradation: name of the degradation the weights are for.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    is_joint = True
    lr_prior: HVAE

    def __init__(
        self,
        scale: int = 4,
        widths: list[int] = [96, 64],  # noqa: B006
        groups: list[int] = [1, 3],  # noqa: B006
        blocks: list[int] = [1, 2],  # noqa: B006
        u_widths: list[int] = [64, 64],  # noqa: B006
        u_groups: list[int] = [2, 2],  # noqa: B006
        u_blocks: list[int] = [1, 2],  # noqa: B006
        latent: int = 8,
        start_blocks: int = 3,
        cell: str = "bottleneck",
        mixtures: int = 5,
        degradation: str = "gaussian",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior=None, enlargement=enlargement)
        self.lr_prior = HVAE(
            scale=1,
            start="constant",
            widths=u_widths,
            groups=u_groups,
            blocks=u_blocks,
            latent=latent,
            cell="plain",
            mixtures=mixtures,
            degradation=degradation,
        )
        self.assemble(
            widths=widths,
            groups=groups,
            blocks=blocks,
            choices=Choices(latent, cell=cell),
            start="lr",
            start_blocks=start_blocks,
            likelihood=distributions.MixtureOfLogistics(mixtures),
        )
        self.from_u = conv1x1(u_widths[-1], widths[0])

    @property
    def groups(self) -> int:
        return self.lr_prior.groups + super().groups

    @property
    def size_multiple(self) -> int:
        return self.lr_prior.reduction

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        """What q(z | x, y, u) and q(u | y) see."""
        assert lr is not None
        return replace(super().bottom_up(hr, lr), of_lr=self.lr_prior.bottom_up(lr))

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        """u, from q(u | y) where y is known and from p(u) where not; then z and x.

        Without y it is drawn from p(y | u) and rounded to 8 bits.
        """
        small = None
        if lr is None:
            assert source.shape is not None
            n, height, width = source.shape
            small = (n, height // self.scale, width // self.scale)
            said = None
        elif activations is not None:
            said = activations.of_lr
        else:
            said = self.lr_prior.bottom_up(lr)
        first = source.of_another_pass(small)
        of_lr, u = self.lr_prior.top_down(None, said, first)
        if lr is None:
            lr = quantise(self.lr_prior.image(of_lr, first))
        start = activations.start if activations is not None else self.start_from(lr, None)
        state = source.repeat(start.state) + self.from_u(of_lr.state)
        features, z = self._descend(state, source.repeat(start.base), activations, source)
        return replace(features, of_lr=of_lr), [*u, *z]

    def log_likelihood(self, features: Features, hr: Tensor, lr: Tensor | None) -> Tensor:
        """log p(x | y, z) + log p(y | u) of the same u."""
        assert lr is not None and features.of_lr is not None
        of_y = self.lr_prior.log_likelihood(features.of_lr, lr, None)
        return super().log_likelihood(features, hr, lr) + of_y
