"""Gated residual blocks with skip connections into their middle (BIVA, Maaløe et al. 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hvae_sr.nn.layers import (
    ACTIVATIONS,
    POSTERIOR_STD,
    Cell,
    CellKind,
    conv1x1,
    scaled,
    square,
    start_narrow,
)


class GatedBlock(nn.Module):
    """x + v * sigmoid(g) with (v, g) = conv(act(conv(act(x)) + conv(act(skip)))).

    Args:
        kind: its activation, and width over that of the middle (`bottleneck`).
        width: channels of the output, and of x unless that is drawn.
        kernel: size of both convolutions.
        skip: channels of the skip connection; 0 for none.
        latent: channels of x where it is drawn: it is then neither activated nor added.
        scale: of the branch at first.
    """

    def __init__(
        self,
        kind: CellKind,
        width: int,
        kernel: int,
        skip: int = 0,
        latent: int = 0,
        scale: float = 1.0,
    ):
        super().__init__()
        middle = max(1, width // kind.bottleneck)
        self.act, self.is_residual = ACTIVATIONS[kind.activation](), not latent
        self.first = square(latent or width, middle, kernel, "linear" if latent else "relu")
        self.second = square(middle, 2 * width, kernel, "relu")
        self.skip = scaled(conv1x1(skip, middle, "relu"), 0.5**0.5) if skip else None
        if skip and not latent:  # two summands with the variance of one; draws stay audible
            scaled(self.first, 0.5**0.5)
        with torch.no_grad():  # gates start half open
            self.second.weight[:width] *= 2 * scale

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(N, latent or width, H, W) and (N, skip, H, W) -> (N, width, H, W)."""
        y = self.first(self.act(x) if self.is_residual else x)
        if self.skip is not None and skip is not None:
            y = y + self.skip(self.act(skip))
        value, gate = self.second(self.act(y)).chunk(2, dim=1)
        y = value * gate.sigmoid()
        return x + y if self.is_residual else y


class GatedStack(nn.Module):
    """Blocks one after another, each with a skip connection of its own.

    Args:
        kind, width, kernel, skip, latent: see `GatedBlock`; only the first is handed a draw.
        blocks: how many, at least 1.
        scale: of those branches that are added to something.
    """

    def __init__(
        self,
        kind: CellKind,
        width: int,
        kernel: int,
        blocks: int,
        scale: float,
        skip: int = 0,
        latent: int = 0,
    ):
        super().__init__()
        first = GatedBlock(kind, width, kernel, skip, latent, 1.0 if latent else scale)
        others = [GatedBlock(kind, width, kernel, skip, scale=scale) for _ in range(blocks - 1)]
        self.blocks = nn.ModuleList([first, *others])

    def forward(self, x: Tensor, skips: Sequence[Tensor] = ()) -> list[Tensor]:
        """(N, latent or width, H, W) and skip connections -> what each block gives.

        They are paired from the last block on; blocks without a partner take the first.
        """
        found = []
        for place, block in enumerate(self.blocks, -len(self.blocks)):
            x = block(x, skips[max(place, -len(skips))] if skips else None)
            found.append(x)
        return found


@dataclass(frozen=True)
class GatedGroup:
    """One group z_i of latents, as data: where it stands, and how its networks are built.

    Args:
        index: of its level, coarse to fine.
        factor: how many times finer than the level above, along each side.
        width: channels of features.
        blocks: of each stack.
        channels: of each of its latents: two (bottom-up, top-down), one (the topmost), or none.
        kernel, latent_kernel: sizes of the convolutions of blocks, and of those that give the
            parameters of distributions.
        kind: activation and bottleneck of blocks.
        depth: blocks that a signal passes in all, which residual branches are scaled down by.
    """

    index: int
    factor: int
    width: int
    blocks: int
    channels: list[int]
    kernel: int
    latent_kernel: int
    kind: CellKind
    depth: int

    @property
    def rising(self) -> int:
        """Channels of the bottom-up latent; 0 where there is none."""
        return self.channels[0] if len(self.channels) == 2 else 0

    def block(self, skip: int) -> GatedBlock:
        """One block, with a skip connection of `skip` channels."""
        return GatedBlock(self.kind, self.width, self.kernel, skip)

    def stack(self, skip: int, latent: int = 0) -> GatedStack:
        """Blocks with skip connections; the first is handed a draw of `latent` channels, if any."""
        scale = self.depth**-0.5
        return GatedStack(self.kind, self.width, self.kernel, self.blocks, scale, skip, latent)

    def posterior(self, latent: int) -> Cell:
        """Features -> parameters of q(z), with small means and deviations at first."""
        network = self._distribution(latent, POSTERIOR_STD)
        start_narrow(network.last, latent)
        return network

    def prior(self, latent: int) -> Cell:
        """Features -> parameters of p(z), N(0, 1) at first."""
        return self._distribution(latent, 0)

    def _distribution(self, latent: int, scale: float) -> Cell:
        conv = square(self.width, 2 * latent, self.latent_kernel, "relu")
        return Cell(ACTIVATIONS[self.kind.activation](), scaled(conv, scale))
