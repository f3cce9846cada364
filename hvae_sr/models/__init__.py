"""One paper, one file."""

from hvae_sr.models.edsr import EDSR
from hvae_sr.models.hvae import HVAE
from hvae_sr.models.srcnn import SRCNN
from hvae_sr.models.srgan import SRGAN, SRResNet
from hvae_sr.models.vae import VAE

__all__ = ["EDSR", "HVAE", "SRCNN", "SRGAN", "VAE", "SRResNet"]
