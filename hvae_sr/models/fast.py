"""A fast network for photographs and movies: the blocks of EDSR, the tail of ESPCN.

Residual blocks: Bee Lim, Sanghyun Son, Heewon Kim, Seungjun Nah, Kyoung Mu Lee, "Enhanced Deep
Residual Networks for Single Image Super-Resolution", CVPR Workshops 2017 (arXiv:1707.02921). One
sub-pixel convolution straight from LR resolution: Wenzhe Shi et al., "Real-Time Single Image and
Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016
(arXiv:1609.05158).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, DegradationConfig, Depth
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.layers import depth_to_space, plain3x3, scaled, within
from hvae_sr.nn.resize import checked_enlargement, enlarge


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))): no batch normalisation (Lim et al. 2017, fig. 2c)."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        last = scaled(plain3x3(width, width, "relu"), 0.5 * depth**-0.5)
        self.body = nn.Sequential(plain3x3(width, width), nn.ReLU(inplace=True), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class FastCNN(SuperResolutionModel):
    """Residual blocks at LR resolution, then one sub-pixel convolution, added to bicubic.

    Of EDSR it has neither the closing convolution and the long skip nor the tail: see `EDSR`.
    Every convolution is a plain 3x3 one on LR pixels, so an image costs one multiplication per
    parameter and LR pixel. Training may widen the convolutions and merge them again (the
    recipe's `expand`): the saved network is always this one.

    Args:
        scale: 2, 3 or 4.
        width: channels.
        blocks: residual blocks.
        degradation: name of the degradation the weights are for.
        enlargement: interpolation that the network's output is added to, see
            `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        width: Channels = 48,
        blocks: Depth = 6,
        degradation: DegradationConfig = "bicubic",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        within("blocks", blocks)
        self.head = plain3x3(3, width)
        self.blocks = nn.Sequential(*[ResidualBlock(width, blocks) for _ in range(blocks)])
        self.tail = nn.Sequential(scaled(plain3x3(width, 3 * scale**2), 0.1), depth_to_space(scale))

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the expected HR (N, 3, h * scale, w * scale)."""
        return enlarge(lr, self.scale, self.enlargement) + self.tail(
            self.blocks(self.head(2 * lr - 1))
        )

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Mean absolute error, as EDSR has it (section 4.2)."""
        image = self(lr)
        error = F.mse_loss(image.detach(), hr)
        return {"loss": F.l1_loss(image, hr), "psnr": -10 * error.log10()}
