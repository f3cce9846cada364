"""A learned prior that is a normalizing flow: affine couplings, RealNVP.

Laurent Dinh, Jascha Sohl-Dickstein, Samy Bengio, "Density estimation using Real NVP", ICLR 2017
(arXiv:1605.08803).

    u = f(v),  v ~ N(0, I),        log p(u) = log N(f^-1(u); 0, I) - log |det df/dv|
    a coupling keeps half of its input, a, and changes the other half, b:  b <- b exp(s(a)) + t(a)
"""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.nn.latents import DiagonalGaussian
from hvae_sr.nn.layers import CellKind, conv3x3, residuals, scaled, within
from hvae_sr.nn.noise import Noise


class Coupling(nn.Module):
    """One affine coupling. It starts as the identity.

    Args:
        channels: of its input, at least 2 for halves of channels.
        width: channels of the network of s and t.
        blocks: residual cells of that network.
        kind: of these cells.
        halves: `checkerboard`, pixels whose row and column add up to an even or to an odd number,
            or `channels`, the first ones and the last ones.
        keeps: which half is kept, 0 or 1.
    """

    def __init__(
        self, channels: int, width: int, blocks: int, kind: CellKind, halves: str, keeps: int
    ):
        super().__init__()
        self.sizes = (channels // 2, channels - channels // 2) if halves == "channels" else None
        self.keeps = keeps
        seen, changed = (channels, channels) if self.sizes is None else self._sizes()
        self.network = nn.Sequential(
            conv3x3(seen, width),
            residuals(kind, width, blocks),
            nn.SiLU(),
            scaled(conv3x3(width, 2 * changed, "relu"), 0),
        )
        self.gain = nn.Parameter(torch.ones(1, changed, 1, 1))

    def _sizes(self) -> tuple[int, int]:
        """Channels that are kept, and that are changed."""
        assert self.sizes is not None
        return self.sizes[self.keeps], self.sizes[1 - self.keeps]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and t (N, channels, H, W), zero where the input is kept; they read the kept half."""
        if self.sizes is None:
            kept = checkerboard(x, self.keeps)
            log_scale, shift = self._terms(x * kept)
            return log_scale * (1 - kept), shift * (1 - kept)
        terms = self._terms(x.split(self.sizes, dim=1)[self.keeps])
        kept_channels = self.sizes[self.keeps]
        padding = (kept_channels, 0) if self.keeps == 0 else (0, kept_channels)
        log_scale, shift = (F.pad(term, (0, 0, 0, 0, *padding)) for term in terms)
        return log_scale, shift

    def _terms(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.network(seen.to(self.gain.dtype)).float().chunk(2, dim=1)
        return self.gain * log_scale.tanh(), shift


def checkerboard(like: Tensor, colour: int) -> Tensor:
    """1 at pixels (i, j) where i + j + `colour` is even, 0 at the others: (1, 1, H, W)."""
    rows, columns = (torch.arange(side, device=like.device) for side in like.shape[-2:])
    return ((rows[:, None] + columns + colour) % 2 == 0).to(like)[None, None]


class RealNVP(nn.Module):
    """A stack of couplings at one resolution: both colours of pixels, both halves of channels, ...

    Latents of one channel have pixels to couple only.

    Args:
        channels: of the latent.
        couplings: how many.
        width, blocks, kind: see `Coupling`.

    Raises:
        ValueError: for more couplings than any model needs.
    """

    def __init__(self, channels: int, couplings: int, width: int, blocks: int, kind: CellKind):
        super().__init__()
        within("couplings", couplings)
        self.channels = channels
        kinds = ["checkerboard", "channels"] if channels > 1 else ["checkerboard"]
        self.couplings = nn.ModuleList(
            Coupling(channels, width, blocks, kind, kinds[index // 2 % len(kinds)], index % 2)
            for index in range(couplings)
        )

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """v -> u, and the log-scale that each element met, whose sum is log |det du/dv|."""
        met = torch.zeros_like(v)
        for coupling in self.couplings:
            log_scale, shift = coupling(v)
            v, met = v * log_scale.exp() + shift, met + log_scale
        return v, met

    def inverse(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u -> v, and the same log-scales as `forward` gives on the way back."""
        met = torch.zeros_like(u)
        for coupling in reversed(self.couplings):
            log_scale, shift = coupling(u)
            u, met = (u - shift) * (-log_scale).exp(), met + log_scale
        return u, met

    def of(self, shape: tuple[int, int, int], device: torch.device) -> "FlowPrior":
        """p(u) of latents of a shape (N, H, W)."""
        n, height, width = shape
        return FlowPrior(self, torch.zeros(n, self.channels, height, width, device=device))


class FlowPrior:
    """p(u) of u = f(v), v ~ N(0, I); see `hvae_sr.nn.latents.Distribution`.

    Args:
        flow: f.
        like: any tensor of the shape of u, (N, channels, H, W).
    """

    def __init__(self, flow: RealNVP, like: Tensor):
        self.flow = flow
        self.base = DiagonalGaussian.standard(like)

    @cached_property
    def _centre(self) -> tuple[Tensor, Tensor]:
        u, log_scale = self.flow(self.base.mean)
        return u, log_scale.exp()

    @property
    def mean(self) -> Tensor:
        """f(0): what a sample at temperature 0 is, not the expectation."""
        return self._centre[0]

    @property
    def std(self) -> Tensor:
        """The scale of each element around `mean`."""
        return self._centre[1]

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        u: Tensor = self.flow(self.base.sample(noise, temperature))[0]
        return u

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of u in nats, shared out to its elements: their sum counts."""
        v, log_scale = self.flow.inverse(z.float())
        return self.base.log_prob(v) - log_scale
