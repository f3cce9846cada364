"""Image super-resolution with CNNs, VAEs and hierarchical VAEs.

Names are imported when they are first touched, so that `import hvae_sr` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hvae_sr.version import __version__ as __version__

if TYPE_CHECKING:
    from hvae_sr.degradations import Degradation, get_degradation, register_degradation
    from hvae_sr.errors import HubError, HvaeSrError, ImageError, ModelError, MovieError
    from hvae_sr.hub import list_models, load
    from hvae_sr.models import (
        BIVA,
        EDSR,
        HVAE,
        NVAE,
        SRCNN,
        SRGAN,
        SRVAE,
        VAE,
        FastCNN,
        GuidedCNN,
        LadderVAE,
        SRResNet,
        StudyCNN,
    )
    from hvae_sr.models.base import SuperResolutionModel, register_model
    from hvae_sr.models.latent import GenerativeModel
    from hvae_sr.storage.shelf import bundled
    from hvae_sr.upscaling import UpscaleOptions, UpscaleOutput, Upscaler

_HOMES = {
    "BIVA": "models",
    "Degradation": "degradations",
    "EDSR": "models",
    "FastCNN": "models",
    "GenerativeModel": "models",
    "GuidedCNN": "models",
    "HVAE": "models",
    "HubError": "errors",
    "HvaeSrError": "errors",
    "ImageError": "errors",
    "LadderVAE": "models",
    "ModelError": "errors",
    "MovieError": "errors",
    "NVAE": "models",
    "SRCNN": "models",
    "SRGAN": "models",
    "SRResNet": "models",
    "SRVAE": "models",
    "StudyCNN": "models",
    "SuperResolutionModel": "models",
    "UpscaleOptions": "upscaling",
    "UpscaleOutput": "upscaling",
    "Upscaler": "upscaling",
    "VAE": "models",
    "bundled": "storage.shelf",
    "get_degradation": "degradations",
    "list_models": "hub",
    "load": "hub",
    "register_degradation": "degradations",
    "register_model": "models.base",
}

__all__ = [  # noqa: RUF022
    "load",
    "list_models",
    "bundled",
    "SRCNN",
    "StudyCNN",
    "EDSR",
    "FastCNN",
    "GuidedCNN",
    "SRResNet",
    "SRGAN",
    "VAE",
    "HVAE",
    "LadderVAE",
    "NVAE",
    "BIVA",
    "SRVAE",
    "SuperResolutionModel",
    "GenerativeModel",
    "register_model",
    "Upscaler",
    "UpscaleOptions",
    "UpscaleOutput",
    "Degradation",
    "get_degradation",
    "register_degradation",
    "HvaeSrError",
    "HubError",
    "ModelError",
    "ImageError",
    "MovieError",
]


if not TYPE_CHECKING:  # else a misspelt name would be an `Any` to checkers and editors

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
