"""EDSR: a deep residual network without batch normalisation.

Bee Lim, Sanghyun Son, Heewon Kim, Seungjun Nah, Kyoung Mu Lee, "Enhanced Deep Residual Networks
for Single Image Super-Resolution", CVPR Workshops 2017 (arXiv:1707.02921).

    h = conv(y - m)                                         m: mean colour of DIV2K
    block(x) = x + s conv(relu(conv(x)))                    fig. 2c; s: residual scaling
    SR = m + conv(up(h + conv(block(... block(h)))))        fig. 3; up: sub-pixel convolutions
    L = mean |SR - x|                                       section 4.2
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, DegradationConfig, Depth
from hvae_sr.models.base import SuperResolutionModel, factors
from hvae_sr.nn.layers import depth_to_space, within

MEAN = (0.4488, 0.4371, 0.4040)  # R, G, B of DIV2K's training images, in [0, 1]
PEAK = 255.0  # the network computes on values of 0 to 255, as the authors' does


class ResidualBlock(nn.Module):
    """x + s conv(relu(conv(x))): no batch normalisation (fig. 2c)."""

    def __init__(self, width: int, scaling: float):
        super().__init__()
        self.scaling = scaling
        self.body = nn.Sequential(_conv(width, width), nn.ReLU(inplace=True), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scaling * self.body(x)


class EDSR(SuperResolutionModel):
    """Head, residual blocks, a closing convolution under a long skip, upsampler, last convolution.

    The defaults are the paper's baseline: 1.52 M parameters at x4. Its EDSR has 32 blocks of 256
    channels and `residual_scaling` 0.1: 43.1 M. Tensors are those of the authors' PyTorch code in
    shape and order, and start as they do there. Departures:

    - The mean colour is a constant here, two frozen 1x1 convolutions there.
    - Presets train with AdamW, warm-up and a cosine; the paper with Adam at 1e-4, halved every
      200,000 steps. Its networks for x3 and x4 start from that for x2 (`--init`).
    - The paper's EDSR+, the mean over eight turns of the input, is left out.

    Args:
        scale: 2, 3 or 4 (x4 is x2 twice).
        width: channels.
        blocks: residual blocks.
        residual_scaling: s, which keeps wide networks from diverging.
        degradation: name of the degradation the weights are for.
    """

    def __init__(
        self,
        scale: int = 4,
        width: Channels = 64,
        blocks: Depth = 16,
        residual_scaling: float = 1.0,
        degradation: DegradationConfig = "bicubic",
    ):
        super().__init__(scale, degradation)
        within("blocks", blocks)
        self.head = _conv(3, width)
        self.body = nn.Sequential(
            *[ResidualBlock(width, residual_scaling) for _ in range(blocks)], _conv(width, width)
        )
        steps = [
            nn.Sequential(_conv(width, width * step**2), depth_to_space(step))
            for step in factors(scale)
        ]
        self.tail = nn.Sequential(*steps, _conv(width, 3))

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the expected HR (N, 3, h * scale, w * scale)."""
        mean = lr.new_tensor(MEAN).view(1, 3, 1, 1)
        features = self.head(PEAK * (lr - mean))
        return mean + self.tail(features + self.body(features)) / PEAK

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Mean absolute error."""
        image = self(lr)
        error = F.mse_loss(image.detach(), hr)
        return {"loss": F.l1_loss(image, hr), "psnr": -10 * error.log10()}


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3, zeros around the border, started as torch does it: the authors' choices."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)
