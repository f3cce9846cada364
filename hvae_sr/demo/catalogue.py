"""The models that the demo offers, and what its menus say of each."""

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from PIL import Image

from hvae_sr.demo import jobs
from hvae_sr.errors import ModelError
from hvae_sr.evaluation import results
from hvae_sr.hub import load
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.storage.shelf import bundled

# What menus start with: the first that they have. It is cheap and the best at T = 0; of those that
# draw unconditional samples, the one with the fewest bits per dimension.
FIRST = ("photo-cnn-x4", "hvae-cifar10-x4")
PHOTOGRAPHS = "photo-"  # what the names of models for photographs begin with
THUMBNAILS = "-cifar10-"  # what those of models for images of 32 pixels a side hold
NOT_SHOWN = ("vae-study",)  # a documented failure: its place is the tables

Models = Mapping[str, SuperResolutionModel]


def bundled_models() -> dict[str, SuperResolutionModel]:
    """Name -> model, for every bundled model that the demo shows; those for photographs first.

    Raises:
        ModelError: when there is none, or one is damaged.
    """
    names = [name for name in bundled() if name not in NOT_SHOWN]
    if not names:
        raise ModelError("no model is bundled with this copy of hvae_sr: install the released one")
    names.sort(key=lambda name: not name.startswith(PHOTOGRAPHS))
    return {name: load(name) for name in names}


def warm(models: Models) -> None:
    """Let every model answer once, as the first pass takes longest, then measure how fast it is."""
    tiny = Image.new("RGB", (16, 16))
    for model in models.values():
        if model.degradation is not None:
            model.upscale(tiny, consistent=True)
        if can_sample(model):
            model.sample(1, seed=0)
        jobs.measure(model)


def upscalers(models: Models) -> dict[str, SuperResolutionModel]:
    """Those that enlarge an image; a model of LR images alone does not."""
    return {name: model for name, model in models.items() if model.degradation is not None}


def can_sample(model: SuperResolutionModel) -> TypeGuard[GenerativeModel]:
    """Whether a model can draw unconditional samples."""
    return isinstance(model, GenerativeModel) and (
        not model.is_conditional or model.lr_prior is not None
    )


def samplers(models: Models) -> dict[str, GenerativeModel]:
    """Those that draw unconditional samples."""
    return {name: model for name, model in models.items() if can_sample(model)}


def described(models: Models) -> list[tuple[str, str]]:
    """(what a menu says, name) of each model: what for, scale, and PSNR where it was measured."""
    folders = bundled()
    choices = []
    for name, model in models.items():
        parts = [name, *_purpose(name), f"x{model.scale}"]
        if name in folders and (scored := results.headline(folders[name])):
            parts.append(scored)
        choices.append((" · ".join(parts), name))
    return choices


def _purpose(name: str) -> list[str]:
    if name.startswith(PHOTOGRAPHS):
        return ["photographs"]
    return ["thumbnails"] if THUMBNAILS in name else []


def first(models: Models, wanted: Sequence[str] = FIRST) -> str:
    """The model that a menu starts with: the first of `wanted` that is there, or of all."""
    return next((name for name in wanted if name in models), next(iter(models)))
