"""A discriminator, and the two terms it adds to a model's loss.

Ian Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014 (arXiv:1406.2661). Each player's
term holds the other still, so that one backward pass of their sum gives both the gradient of their
own problem; a model with an `Adversary` names the two terms in `players`. Works for every image
that a gradient flows through: a generator's, or the mean of a VAE's decoder.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from hvae_sr.nn.layers import Follows, conv3x3


@dataclass(frozen=True)
class Terms:
    """What an `Adversary` makes of a batch.

    Args:
        generator: -log D(fake), whose gradient reaches the image alone.
        discriminator: -log D(real) - log(1 - D(fake)), whose gradient reaches D alone.
        real, fake: mean probabilities that D gives to either, 0.5 when it cannot tell.
    """

    generator: Tensor
    discriminator: Tensor
    real: Tensor
    fake: Tensor

    @property
    def logged(self) -> dict[str, Tensor]:
        """Scalars to log beside the two players' losses."""
        return {
            "adversarial": self.generator.detach(),
            "real": self.real,
            "fake": self.fake,
        }


class Discriminator(nn.Sequential):
    """Image (N, 3, H, W) in [0, 1] -> logits of being real (N, 1, H / 4, W / 4), one per patch.

    Pairs of 3x3 convolutions and leaky ReLUs, the second of stride 2, as in SRGAN (fig. 4) but
    without batch normalisation; patches instead of dense layers (Isola et al. 2017,
    arXiv:1611.07004), so that images may have any size.

    Args:
        width: channels at full resolution; each halving doubles them.
    """

    def __init__(self, width: int = 24):
        super().__init__()
        channels = 3
        for level, outputs in enumerate((width, 2 * width)):
            follows: Follows = "relu" if level else "linear"
            self.extend([conv3x3(channels, outputs, follows), nn.LeakyReLU(0.2)])
            self.extend([conv3x3(outputs, 2 * outputs, "relu", stride=2), nn.LeakyReLU(0.2)])
            channels = 2 * outputs
        self.append(conv3x3(channels, 1))

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(2 * image - 1)


class Adversary(nn.Module):
    """Tells a model's images from real ones, and the model how not to be told.

    Args:
        width: see `Discriminator`.
    """

    def __init__(self, width: int = 24):
        super().__init__()
        self.discriminator = Discriminator(width)

    def forward(self, image: Tensor, hr: Tensor) -> Terms:
        """A model's images and real ones, (N, 3, H, W) in [0, 1] -> the two players' terms."""
        real, fake = self.discriminator(hr).float(), self.discriminator(image.detach()).float()
        still = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        judged = functional_call(self.discriminator, still, (image,)).float()
        return Terms(
            generator=F.softplus(-judged).mean(),
            discriminator=F.softplus(-real).mean() + F.softplus(fake).mean(),
            real=real.detach().sigmoid().mean(),
            fake=fake.detach().sigmoid().mean(),
        )
