"""One paper, one file. Names are imported when they are first touched."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hvae_sr.models.registry import BASES, MODULES

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel
    from hvae_sr.models.biva import BIVA
    from hvae_sr.models.edsr import EDSR
    from hvae_sr.models.fast import FastCNN
    from hvae_sr.models.guided import GuidedCNN
    from hvae_sr.models.hvae import HVAE
    from hvae_sr.models.ladder import LadderVAE
    from hvae_sr.models.latent import GenerativeModel
    from hvae_sr.models.nvae import NVAE
    from hvae_sr.models.srcnn import SRCNN
    from hvae_sr.models.srgan import SRGAN, SRResNet
    from hvae_sr.models.srvae import SRVAE
    from hvae_sr.models.study import StudyCNN
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
    "FastCNN",
    "GenerativeModel",
    "GuidedCNN",
    "LadderVAE",
    "SRResNet",
    "StudyCNN",
    "SuperResolutionModel",
]


if not TYPE_CHECKING:  # else a misspelt name would be an `Any` to checkers and editors

    def __getattr__(name: str) -> Any:
        home = {**MODULES, **BASES}.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
