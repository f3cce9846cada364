"""What a card says of a model before anybody has scored it: its class, its task, its papers."""

import inspect
import sys
from typing import TYPE_CHECKING, Any

from hvae_sr.models.registry import MODULES
from hvae_sr.storage import cards

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel


def citation(cls: type) -> str:
    """How to cite a model of a class: this package, and the papers that its module names."""
    papers = _papers(cls)
    return cards.BIBTEX + (f"\n\n`{cls.__name__}` is after: {papers}" if papers else "")


def _papers(cls: type) -> str:
    """The references in the docstring of a model's module: its second paragraph, if it is ours."""
    homes = [base.__module__ for base in cls.__mro__ if base.__module__ in MODULES.values()]
    text = inspect.cleandoc(sys.modules[homes[0]].__doc__ or "") if homes else ""
    return text.partition("\n\n")[2].partition("\n\n")[0].strip()


def facts(model: "SuperResolutionModel") -> dict[str, Any]:
    """What the short card says of a model."""
    kind = type(model)
    if model.degradation is None:
        task, use = "An unconditional model of images;", "images = model.sample(16, seed=0)"
    else:
        task = f"For x{model.scale} super-resolution, degradation `{model.degradation.name}`;"
        use = 'image = model.upscale(Image.open("in.png"))'
    described = inspect.cleandoc(kind.__doc__ or f"A {kind.__name__}.")
    return {
        "model_name": kind.__name__,
        "description": described.partition("\n\nArgs:")[0],
        "task": task,
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "use": use,
        "citation": citation(kind),
    }
