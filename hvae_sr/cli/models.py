"""Models by the name that a command was given, on the device that it was given."""

from pathlib import Path
from typing import TYPE_CHECKING

from hvae_sr.errors import ModelError

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel
    from hvae_sr.upscaling import UpscaleOptions

AUTO = "auto"


def loaded(
    name: str, device: str = AUTO, revision: str | None = None, token: str | None = None
) -> "SuperResolutionModel":
    """A model by its name, `owner/name@revision` too.

    Raises:
        ModelError: for two revisions; otherwise see `hvae_sr.hub.load`.
    """
    from hvae_sr.hub import load

    name, revision = named(name, revision)
    return load(name, revision=revision, device=chosen_device(device), token=token)


def named(name: str, revision: str | None) -> tuple[str, str | None]:
    """What `owner/name@revision` says, and `--revision`.

    Raises:
        ModelError: when both name a revision.
    """
    repository, at, found = name.partition("@")
    if not at or Path(name).exists():
        return name, revision
    if revision is not None:
        raise ModelError(f"{name} and --revision {revision}: name one revision")
    return repository, found


def chosen_device(device: str) -> str:
    """The device that "auto" means here: a CUDA GPU, Apple's, or the CPU; any other as it is."""
    if device != AUTO:
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def samplers() -> list[str]:
    """The bundled models that enlarge and have several answers."""
    from hvae_sr.hub import list_models
    from hvae_sr.models.latent import GenerativeModel

    known = list_models(model_class=GenerativeModel)
    return [name for name in known if name not in list_models(scale=1)]


def check_answers(model: "SuperResolutionModel", options: "UpscaleOptions") -> None:
    """Refuse, before the work, several answers of a model that has one.

    Raises:
        ModelError: naming the models that have several.
    """
    drawn = options.num_samples > 1 or options.used_temperature > 0 or options.decode != "mean"
    if drawn and not model.is_stochastic:
        raise ModelError(
            f"{model.name} has one answer: leave --samples, --temperature and --decode out, or "
            f"choose --model {' or '.join(samplers())}"
        )
