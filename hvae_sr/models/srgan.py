"""SRGAN: sharp pictures from a network that is judged by another.

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

from hvae_sr.models.base import SuperResolutionModel, factors
from hvae_sr.nn.discriminator import Adversary
from hvae_sr.nn.layers import conv3x3, residuals, scaled, upsample
from hvae_sr.nn.resize import checked_enlargement, enlarge


class SRResNet(SuperResolutionModel):
    """The generator (fig. 4) alone: residual blocks at LR resolution, sub-pixel upscaling x2 twice.

    Three departures: no batch normalisation, which mixes the pictures of a batch (Lim et al. 2017);
    3x3 kernels with repeated borders in place of 9x9 ones, which 8x8 inputs have no room for; and
    the output is added to bicubic.

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
        width: int = 64,
        blocks: int = 6,
        degradation: str = "gaussian",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        self.head = conv3x3(3, width)
        self.body = nn.Sequential(
            residuals("plain", width, blocks), nn.SiLU(), conv3x3(width, width, "relu")
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

    Start it from a trained SRResNet (section 3.2), whose tensors have the same names. Its pictures
    are sharper and have more squared error: the best guess is blurred, and a blurred one is told.

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
        width: int = 64,
        blocks: int = 6,
        adversarial_weight: float = 2e-3,
        discriminator: int = 24,
        degradation: str = "gaussian",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, width, blocks, degradation, enlargement)
        self.adversarial_weight = adversarial_weight
        self.adversary = Adversary(discriminator)

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """The perceptual loss (eq. 3) for the generator, the game's (eq. 2) for the discriminator.

        `real` and `fake` are the probabilities that the discriminator gives to either.
        """
        picture = self(lr)
        content, players = F.mse_loss(picture, hr), self.adversary(picture, hr)
        perceptual = content + self.adversarial_weight * players.generator
        return {
            "loss": perceptual + players.discriminator,
            "psnr": -10 * content.detach().log10(),
            **players.logged,
        }
