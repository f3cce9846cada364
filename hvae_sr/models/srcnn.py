"""SRCNN: three convolutions on the luma of the bicubic enlargement.

Chao Dong, Chen Change Loy, Kaiming He, Xiaoou Tang, "Image Super-Resolution Using Deep
Convolutional Networks", IEEE TPAMI 38(2), 2016 (arXiv:1501.00092); first as "Learning a Deep
Convolutional Network for Image Super-Resolution", ECCV 2014.

    F1(Y) = max(0, W1 * Y + B1)               patch extraction and representation       (eq. 1)
    F2(Y) = max(0, W2 * F1(Y) + B2)           non-linear mapping                        (eq. 2)
    F(Y) = W3 * F2(Y) + B3                    reconstruction                            (eq. 3)
    L = mean (F(Y) - X)^2                     mean squared error                        (eq. 4)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, Count, DegradationConfig
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.colour import LUMA_RANGE, luma
from hvae_sr.nn.layers import BorderConv2d
from hvae_sr.nn.resize import checked_enlargement, enlarge

START = 1e-3  # standard deviation of the paper's first weights (section 4.1)
ALIVE = 1e-2  # first biases: about twice the deviation of what such filters see in an image


class SRCNN(SuperResolutionModel):
    """Y is the luma of the bicubic enlargement, X that of the HR image; chroma stays bicubic.

    The paper's 9-5-5 has 57,281 parameters (the default), its 9-1-5 8,129. Departures:

    - Borders repeat their pixels before each convolution, as in the authors' test code. In the
      paper's training nothing is padded, so that the output is smaller than the input, and the
      error is taken over its middle.
    - Weights start as the paper's noise of standard deviation 0.001 plus a path of ones that hands
      Y through, so that training begins at bicubic and not at black; biases off this path start at
      0.01 and not at 0, or half of the filters would be silent, and stay so.
    - Presets train with AdamW and one learning rate on random crops; the paper trains with SGD and
      momentum, the last layer at a tenth of the rate, on sub-images of 33 x 33 pixels.

    Args:
        scale: 2, 3 or 4.
        kernels: sides of the filters, layer by layer; odd.
        filters: channels of all layers but the last, which has one.
        degradation: name of the degradation the weights are for.
        enlargement: interpolation whose luma is the input, see `hvae_sr.nn.resize.enlarge`.

    Raises:
        ValueError: for even kernels, or a number of them that does not fit `filters`.
    """

    def __init__(
        self,
        scale: int = 4,
        kernels: list[Count] = [9, 5, 5],  # noqa: B006
        filters: list[Channels] = [64, 32],  # noqa: B006
        degradation: DegradationConfig = "bicubic",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        if len(kernels) != len(filters) + 1 or not all(kernel % 2 for kernel in kernels):
            raise ValueError(
                f"kernels must be {len(filters) + 1} odd numbers, one more than filters, "
                f"not {kernels}"
            )
        channels = [1, *filters, 1]
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in zip(channels, channels[1:], kernels, strict=False):
            layers += [_start(BorderConv2d(inputs, outputs, kernel)), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])  # the reconstruction is linear

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the expected HR (N, 3, h * scale, w * scale)."""
        bicubic = enlarge(lr, self.scale, self.enlargement)
        y = luma(bicubic)
        return bicubic + (self.layers(y) - y) / LUMA_RANGE

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Mean squared error of the luma (eq. 4); `psnr` is of all three colours."""
        image = self(lr)
        error = F.mse_loss(image.detach(), hr)
        return {"loss": F.mse_loss(luma(image), luma(hr)), "psnr": -10 * error.log10()}


@torch.no_grad()
def _start(conv: nn.Conv2d) -> nn.Conv2d:
    """The paper's noise, and a one from the first channel's middle to the first channel.

    Images are positive: a filter whose weights have a negative sum passes no ReLU without a bias.
    """
    nn.init.normal_(conv.weight, std=START)
    middle = conv.kernel_size[0] // 2
    conv.weight[0, 0, middle, middle] += 1
    assert conv.bias is not None
    nn.init.constant_(conv.bias, ALIVE)
    conv.bias[0] = 0
    return conv
