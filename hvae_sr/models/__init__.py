"""One paper, one file."""

from hvae_sr.models.biva import BIVA
from hvae_sr.models.edsr import EDSR
from hvae_sr.models.guided import GuidedCNN
from hvae_sr.models.hvae import HVAE
from hvae_sr.models.ladder import LadderVAE
from hvae_sr.models.nvae import NVAE
from hvae_sr.models.srcnn import SRCNN
from hvae_sr.models.srgan import SRGAN, SRResNet
from hvae_sr.models.srvae import SRVAE
from hvae_sr.models.vae import VAE

__all__ = [
    "BIVA",
    "EDSR",
    "HVAE",
    "NVAE",
    "SRCNN",
    "SRGAN",
    "SRVAE",
    "VAE",
    "GuidedCNN",
    "LadderVAE",
    "SRResNet",
]
