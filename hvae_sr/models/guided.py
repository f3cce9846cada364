"""The fast network for photographs and movies: a chain of plain convolutions with guidance maps.

After the winner of NTIRE 2026's challenge on efficient super-resolution ("SPANv2"), a successor of
Cheng Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPR
Workshops 2024 (arXiv:2311.12770):

    r = conv(relu(conv(relu(conv(x)))))           three 3x3 convolutions at LR resolution
    block(x) = (x + r) * (1 + W r)                W: 1x1, the guidance map
    SR = shuffle(P [D features, E y])

D is depthwise 3x3, E gives each colour of the LR image y scale^2 filters of 3x3, and P is
pointwise. E and P start as quadratic interpolation, so that no interpolation stands beside the
network. It is no copy of the challenge's entry: the number of blocks and the initialisation differ,
and its convolutions are widened in training by this package's own recipe (`expand`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, DegradationConfig, Depth
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.layers import BorderConv2d, conv1x1, depth_to_space, plain3x3, scaled, within


class GuidedBlock(nn.Module):
    """(x + r) * (1 + W r), (N, width, h, w) -> the same, for the result r of three convolutions."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.body = nn.Sequential(
            plain3x3(width, width),
            nn.ReLU(inplace=True),
            plain3x3(width, width, "relu"),
            nn.ReLU(inplace=True),
            scaled(plain3x3(width, width, "relu"), depth**-0.5),
        )
        self.guide = scaled(conv1x1(width, width), 0.1)
        assert self.guide.bias is not None
        nn.init.ones_(self.guide.bias)

    def forward(self, x: Tensor) -> Tensor:
        result = self.body(x)
        return (x + result) * self.guide(result)


class GuidedCNN(SuperResolutionModel):
    """A chain of guided blocks at LR resolution, then one sub-pixel step over features and pixels.

    Every convolution is a plain one on LR pixels, so an image costs about one multiplication per
    parameter and LR pixel. Training may widen the 3x3 convolutions and merge them again (the
    recipe's `expand`): the saved network is always this one.

    Args:
        scale: 2, 3 or 4.
        width: channels.
        blocks: guided blocks.
        degradation: name of the degradation the weights are for.
    """

    def __init__(
        self,
        scale: int = 4,
        width: Channels = 32,
        blocks: Depth = 5,
        degradation: DegradationConfig = "bicubic",
    ):
        super().__init__(scale, degradation)
        within("blocks", blocks)
        copies = 3 * scale**2
        self.head = plain3x3(3, width)
        self.blocks = nn.Sequential(*[GuidedBlock(width, blocks) for _ in range(blocks)])
        self.spread = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pixels = BorderConv2d(3, copies, 3, groups=3)
        self.mix = nn.Conv2d(width + copies, copies, 1)
        self.shuffle = depth_to_space(scale)
        self._start_as_quadratic(width)

    @torch.no_grad()
    def _start_as_quadratic(self, width: int) -> None:
        """Each output pixel is interpolated by the parabola through three LR pixels a side."""
        offset = (torch.arange(self.scale) + 0.5) / self.scale - 0.5
        before, after = offset * (offset - 1) / 2, offset * (offset + 1) / 2
        taps = torch.stack([before, 1 - offset**2, after], dim=1)
        kernels = torch.einsum("ai,bj->abij", taps, taps).flatten(0, 1)
        self.pixels.weight.copy_(kernels.repeat(3, 1, 1).unsqueeze(1))
        self.spread.weight.mul_(0.1)[:, :, 1, 1] = 1
        self.mix.weight.mul_(0.02)[:, width:] = torch.eye(self.mix.out_channels)[:, :, None, None]
        for conv in (self.spread, self.pixels, self.mix):
            assert conv.bias is not None
            conv.bias.zero_()

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the expected HR (N, 3, h * scale, w * scale)."""
        centred = 2 * lr - 1
        features = self.spread(self.blocks(self.head(centred)))
        mixed = self.mix(torch.cat([features, self.pixels(centred)], dim=1))
        return 0.5 + 0.5 * self.shuffle(mixed)

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Mean absolute error."""
        image = self(lr)
        error = F.mse_loss(image.detach(), hr)
        return {"loss": F.l1_loss(image, hr), "psnr": -10 * error.log10()}
