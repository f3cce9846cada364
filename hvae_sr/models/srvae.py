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

from torch import Tensor

from hvae_sr.models.hierarchy import Choices, Guide
from hvae_sr.models.hvae import HVAE
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn import distributions
from hvae_sr.nn.layers import conv1x1
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import quantise


class SRVAE(GenerativeModel):
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

    encodes_once = False  # every draw has its own u
    lr_prior: GenerativeModel

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

    def loss(self, hr: Tensor, lr: Tensor | None = None, **weights: float) -> dict[str, Tensor]:
        """The terms of both stages, in bits per dimension of `hr`; see `GenerativeModel.loss`."""
        assert lr is not None
        of_x = super().loss(hr, lr, **weights)
        beta, free_bits = weights.get("beta", 1.0), weights.get("free_bits", 0.0)
        of_y = self.lr_prior.loss(lr, beta=beta, free_bits=free_bits)
        share = lr[0].numel() / hr[0].numel()
        both = {key: of_x[key] + share * of_y[key] for key in of_y}
        return {**of_x, **both, "bits_per_dim_y": of_y["bits_per_dim"]}

    def draw(self, lr: Tensor, num_samples: int, temperature: float, noise: Noise) -> Tensor:
        """See `GenerativeModel.draw`; every sample has its own u."""
        rows = lr.repeat_interleave(num_samples, dim=0)
        return super().draw(rows, 1, temperature, noise)[:, 0].unflatten(0, (-1, num_samples))

    def _begin(self, lr: Tensor | None, hr: Tensor | None, guide: Guide) -> tuple[Tensor, Tensor]:
        """Features of y, and of u drawn from q(u | y)."""
        state, base = super()._begin(lr, hr, guide)
        assert lr is not None
        q_u = guide.preceding(len(self.lr_prior.levels))
        u_state, _ = self.lr_prior._observe(lr, None, q_u)
        u, guide.before = self.lr_prior.top_down(u_state, q_u)
        return state + self.from_u(u), base

    def _from_nothing(
        self, num_samples: int, size: tuple[int, int], guide: Guide
    ) -> tuple[Tensor, Tensor]:
        """u from p(u), y from p(y | u), rounded to 8 bits; then features of both."""
        prior, step = self.lr_prior, self.scale * self.size_multiple
        if size[0] % step or size[1] % step:
            raise ValueError(f"size must be a multiple of {step}, not {size}")
        p_u = guide.preceding(len(prior.levels))
        small = (size[0] // self.scale, size[1] // self.scale)
        u_state, u_base = prior._from_nothing(num_samples, small, p_u)
        u, guide.before = prior.top_down(u_state, p_u)
        y = quantise(prior._picture(prior.head(u), u_base))
        state, base = super()._begin(y, None, guide)
        return state + self.from_u(u), base
