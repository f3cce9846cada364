"""SRGAN: sharp images from a network that is judged by another.

Christian Ledig, Lucas Theis, Ferenc Huszar, Jose Caballero, Andrew Cunningham, Alejandro Acosta,
Andrew Aitken, Alykhan Tejani, Johannes Totz, Zehan Wang, Wenzhe Shi, "Photo-Realistic Single Image
Super-Resolution Using a Generative Adversarial Network", CVPR 2017 (arXiv:1609.04802).

    min_G max_D  E log D(x) + E log(1 - D(G(y)))                the game                (eq. 2)
    l = l_content + w l_Gen                                     perceptual loss         (eq. 3)
    l_content = mean (x - G(y))^2                               content loss, MSE       (eq. 4)
    l_Gen = -log D(G(y))                                        adversarial loss        (eq. 6)

This is the paper's "SRGAN-MSE": its content loss on VGG features (eq. 5) needs the weights of a
network trained on ImageNet, which this package does not carry.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, DegradationConfig, Depth
from hvae_sr.models.base import SuperResolutionModel, factors
from hvae_sr.nn.discriminator import Adversary
from hvae_sr.nn.layers import CellKind, conv3x3, residuals, scaled, upsample
from hvae_sr.nn.resize import checked_enlargement, enlarge


class SRResNet(SuperResolutionModel):
    """The generator (fig. 4) alone: residual blocks at LR resolution, sub-pixel upscaling x2 twice.

    Departures:

    - No batch normalisation, which mixes the images of a batch (Lim et al. 2017).
    - SiLU before each convolution of a residual branch and after each sub-pixel step; the paper
      has PReLU between the two of a branch, after the first layer and after each step.
    - 3x3 kernels in the first and last layer, as 8x8 inputs have no room for the paper's 9x9; 1x1
      kernels before each sub-pixel step, the paper has 3x3.
    - Borders repeat their pixels; the paper pads with zeros.
    - The output is added to bicubic, and the last layer starts at a tenth; residual branches start
      scaled by 1 / sqrt(blocks).
    - Six blocks where the paper has 16, by default.
    - The error is of values from 0 to 1, in the paper of -1 to 1: four times as much.
    - Presets train with AdamW, warm-up and a cosine; the paper with Adam at 1e-4 throughout.

    Args:
        scale: 2, 3 or 4 (x4 is x2 twice).
        width: channels.
        blocks: residual blocks.
        degradation: name of the degradation the weights are for.
        enlargement: interpolation that the network's output is added to, see
            `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        width: Channels = 64,
        blocks: Depth = 6,
        degradation: DegradationConfig = "gaussian",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        self.head = conv3x3(3, width)
        self.body = nn.Sequential(
            residuals(CellKind("plain"), width, blocks), nn.SiLU(), conv3x3(width, width, "relu")
        )
        self.finer = nn.Sequential(
            *[nn.Sequential(upsample(width, width, step), nn.SiLU()) for step in factors(scale)]
        )
        self.reconstruct = scaled(conv3x3(width, 3, "relu"), 0.1)

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> HR (N, 3, h * scale, w * scale)."""
        features = self.head(2 * lr - 1)
        features = features + self.body(features)
        return enlarge(lr, self.scale, self.enlargement) + self.reconstruct(self.finer(features))

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """The content loss: mean squared error (eq. 4)."""
        error = F.mse_loss(self(lr), hr)
        return {"loss": error, "psnr": -10 * error.detach().log10()}


class SRGAN(SRResNet):
    """SRResNet that also learns to pass for real, and the discriminator it plays against.

    Start it from a trained SRResNet (section 3.2), whose tensors have the same names. Its images
    are sharper and have more squared error: the best guess is blurred, and a blurred one is told.
    Departures beside those of `SRResNet`:

    - The content loss is the paper's second one, MSE ("SRGAN-MSE"), not that on VGG features.
    - `adversarial_weight` is 2e-3 beside an error of values from 0 to 1; the paper has 1e-3 beside
      features of VGG, or an error of values from -1 to 1.
    - The discriminator has four convolutions, of 24 to 96 channels, without batch normalisation,
      and judges patches; the paper's has eight, of 64 to 512, batch normalisation and two dense
      layers, and judges the whole image.
    - Both players step at once, each against the other as it was before the step, on one batch; the
      paper's take turns.
    - The saved generator is the moving average of the one that played.

    Args:
        scale: 2, 3 or 4.
        width: channels of the generator.
        blocks: residual blocks of the generator.
        adversarial_weight: of the adversarial loss; at 0 the generator is an SRResNet's.
        discriminator: channels of the discriminator at HR resolution.
        degradation: name of the degradation the weights are for.
        enlargement: interpolation that the network's output is added to, see
            `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        width: Channels = 64,
        blocks: Depth = 6,
        adversarial_weight: float = 2e-3,
        discriminator: Channels = 24,
        degradation: DegradationConfig = "gaussian",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, width, blocks, degradation, enlargement)
        self.adversarial_weight = adversarial_weight
        self.adversary = Adversary(discriminator)

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """`loss` is the generator's, perceptual one (eq. 3), `discriminator` the game's (eq. 2).

        `real` and `fake` are the probabilities that the discriminator gives to either.
        """
        image = self(lr)
        content, players = F.mse_loss(image, hr), self.adversary(image, hr)
        return {
            "loss": content + self.adversarial_weight * players.generator,
            "discriminator": players.discriminator,
            "psnr": -10 * content.detach().log10(),
            **players.logged,
        }

    def players(self) -> dict[str, list[nn.Parameter]]:
        """The generator minimises `loss`, the discriminator its own."""
        discriminator = list(self.adversary.parameters())
        others = {id(parameter) for parameter in discriminator}
        generator = [parameter for parameter in self.parameters() if id(parameter) not in others]
        return {"loss": generator, "discriminator": discriminator}
