"""Models by class name: those of the package, and every class that subclasses the base.

A config names the module and the class of its model. Loading compares both with what is
registered and never imports a module that a file names: a file must not choose what code runs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hvae_sr.errors import shown
from hvae_sr.registry import INTERACTIVE, Registry

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

# Where the package's own classes live; imported when their names are first asked for.
MODULES = {
    "BIVA": "hvae_sr.models.biva",
    "EDSR": "hvae_sr.models.edsr",
    "FastCNN": "hvae_sr.models.fast",
    "GuidedCNN": "hvae_sr.models.guided",
    "HVAE": "hvae_sr.models.hvae",
    "LadderVAE": "hvae_sr.models.ladder",
    "NVAE": "hvae_sr.models.nvae",
    "SRCNN": "hvae_sr.models.srcnn",
    "SRGAN": "hvae_sr.models.srgan",
    "SRResNet": "hvae_sr.models.srgan",
    "SRVAE": "hvae_sr.models.srvae",
    "StudyCNN": "hvae_sr.models.study",
    "VAE": "hvae_sr.models.vae",
}
# The two classes that papers subclass; they are not models themselves, but users may name them.
BASES = {
    "GenerativeModel": "hvae_sr.models.latent",
    "SuperResolutionModel": "hvae_sr.models.base",
}
MODELS: "Registry[SuperResolutionModel]" = Registry("model", MODULES)


def find(name: object, module: str | None) -> "type[SuperResolutionModel]":
    """The class that a config describes.

    Args:
        name: of the class.
        module: that defines it, None where a config does not say. A class that a notebook or a
            script defines (`__main__`) is recognised by its name alone.

    Raises:
        ValueError: for a name that is not registered, or registered by another module: that
            module must be imported first, by whoever trusts it.
    """
    if not isinstance(name, str) or name not in MODELS.names:
        origin = f" of the module {shown(module)}" if module else ""
        raise ValueError(
            f"the model class {shown(name)}{origin} is not registered: import the module that "
            f"defines it first, or choose one of {', '.join(MODELS.names)}"
        )
    found = MODELS.get(name)
    if not described_by(found, module):
        raise ValueError(
            f"the model class {name!r} is the one of the module {shown(module)}, but {name!r} of "
            f"{found.__module__!r} is imported: import the module that defines it first"
        )
    return found


def described(config: Mapping[str, Any], part: str) -> "SuperResolutionModel":
    """A model inside a model, built from its description (`full_config`).

    Args:
        config: its constructor's arguments, `model_class` and `model_module`.
        part: the argument that holds it, for messages.

    Raises:
        ValueError, TypeError: for a class that is not registered, or arguments that it refuses.
    """
    arguments = dict(config)
    name, module = arguments.pop("model_class", None), arguments.pop("model_module", None)
    try:
        return find(name, module)(**arguments)
    except TypeError as error:
        raise TypeError(f"the argument {part!r}: {error}") from error
    except ValueError as error:
        raise ValueError(f"the argument {part!r}: {error}") from error


def described_by(cls: type, module: str | None) -> bool:
    """Whether a class may be the one of that name which a config says is of `module`."""
    return module is None or module == cls.__module__ or INTERACTIVE in (module, cls.__module__)
