"""Residual cells with squeeze and excitation, which NVAE is made of (Vahdat and Kautz 2020)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.nn.layers import (
    BorderConv2d,
    Cell,
    bordered,
    conv1x1,
    conv3x3,
    downsample,
    upsample,
    within,
)

REACH = 2  # radius, in pixels, of depthwise convolutions and of what squeezing averages over


class SqueezeExcite(nn.Module):
    """Each channel times what its surroundings ask for (Hu et al. 2018): (N, C, H, W) -> same.

    The squeeze averages over a neighbourhood, not the image: else a tile would not look as it
    does in the whole, nor a photograph as the thumbnails of training (Chu et al. 2022, "TLC").
    """

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 16, 4)
        self.squeeze = conv1x1(channels, hidden)
        self.excite = nn.Sequential(nn.SiLU(), conv1x1(hidden, channels, "relu"))

    def forward(self, x: Tensor) -> Tensor:
        # Averaging after the linear squeeze gives the same as before it, on fewer channels.
        around = F.avg_pool2d(bordered(self.squeeze(x), REACH), 2 * REACH + 1, stride=1)
        return x * self.excite(around).sigmoid()


class Depthwise5x5(BorderConv2d):
    """Each channel alone. In channels-last layout, whose gradient CPUs compute twice as fast."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 2 * REACH + 1, groups=channels)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.contiguous(memory_format=torch.channels_last))


def combiner(width: int, latent: int) -> nn.Conv2d:
    """[s, z] -> the next state: at first s plus a projection of z, (N, width + latent, H, W)."""
    conv = conv1x1(width + latent, width)
    with torch.no_grad():
        conv.weight[:, :width] = torch.eye(width)[..., None, None]
        conv.weight[:, width:] = conv1x1(latent, width).weight
    return conv


class ResidualCell(nn.Module):
    """skip(x) + scale SE(body(x))."""

    def __init__(self, body: Cell, outputs: int, skip: nn.Module, scale: float):
        super().__init__()
        self.body, self.skip, self.excite = body, skip, SqueezeExcite(outputs)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.scale * self.excite(self.body(x))


@dataclass(frozen=True)
class Cells:
    """How the cells of a network are built.

    Args:
        expansion: channels of a decoder cell's middle, for each that goes in.
        scale: of a cell's branch.
    """

    expansion: int
    scale: float

    def encoder(self, inputs: int, outputs: int, factor: int = 1) -> ResidualCell:
        """The encoder's cell, which makes maps `factor` times coarser along each side."""
        body = Cell(
            nn.SiLU(),
            conv3x3(inputs, outputs, "relu", stride=factor),
            nn.SiLU(),
            conv3x3(outputs, outputs, "relu"),
        )
        skip: list[nn.Module] = []
        if factor > 1:
            skip = [nn.SiLU(), downsample(inputs, outputs, factor)]
        return ResidualCell(body, outputs, nn.Sequential(*skip), self.scale)

    def decoder(self, inputs: int, outputs: int, factor: int = 1) -> ResidualCell:
        """The decoder's cell, which makes maps `factor` times finer along each side."""
        wide = self.expansion * inputs
        finer: list[nn.Module] = []
        skip: list[nn.Module] = []
        if factor > 1:
            finer, skip = [nn.Upsample(scale_factor=factor)], [upsample(inputs, outputs, factor)]
        body = Cell(
            conv1x1(inputs, wide),
            nn.SiLU(),
            *finer,
            Depthwise5x5(wide),
            nn.SiLU(),
            conv1x1(wide, outputs, "relu"),
        )
        return ResidualCell(body, outputs, nn.Sequential(*skip), self.scale)

    def of_encoder(self, width: int, count: int) -> nn.Sequential:
        within("blocks", count)
        return nn.Sequential(*[self.encoder(width, width) for _ in range(count)])

    def of_decoder(self, width: int, count: int) -> nn.Sequential:
        within("blocks", count)
        return nn.Sequential(*[self.decoder(width, width) for _ in range(count)])
