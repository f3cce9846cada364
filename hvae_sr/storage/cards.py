"""What a model's card needs to know of its class, and the short card of a model nobody scored.

Cards of measured models are written by `hvae_sr.evaluation.cards`.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hvae_sr.models.registry import MODULES

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

CARD, RESULTS, TRAINING, NOTES = "README.md", "results.json", "training.json", "notes.md"
SAMPLES = "samples.png"
BESIDE = (CARD, RESULTS, TRAINING, NOTES, SAMPLES)

TEMPLATE = """---
{{ card_data }}
---

# {{ model_name }}

{{ description }}

{{ task }} {{ parameters }} parameters, saved by the Python package
hvae_sr.

```python
import hvae_sr
from PIL import Image

model = hvae_sr.load("{{ model_name }}")
{{ use }}
```

## Scores

Not evaluated: `hvae-sr evaluate` measures, `hvae-sr card` writes what it found.

## Training

Not recorded here.

## Limits and licences

Expects inputs made by its own degradation. What a generative model adds is plausible, not
evidence. hvae_sr is Apache-2.0; the pictures a model was trained on keep their own terms.

## Citation

{{ citation }}
"""

BIBTEX = """\
```bibtex
@software{hvae_sr,
  author = {The hvae_sr authors},
  title = {hvae_sr: image super-resolution with CNNs, VAEs and hierarchical VAEs},
  license = {Apache-2.0}
}
```"""


def companions(folder: Path) -> list[Path]:
    """The files that belong to a model beside its config and weights, as far as they are there."""
    return [folder / name for name in BESIDE if (folder / name).is_file()]


def addressed(card: str, name: str) -> str:
    """A card whose snippet loads the model by another name, such as `owner/name`."""
    return re.sub(r'hvae_sr\.load\("[^"]*"\).*', f'hvae_sr.load("{name}")', card, count=1)


def citation(cls: type) -> str:
    """How to cite a model of a class: this package, and the papers that its module names."""
    papers = _papers(cls)
    return BIBTEX + (f"\n\n`{cls.__name__}` is after: {papers}" if papers else "")


def _papers(cls: type) -> str:
    """What the docstring of a model's module says below its title; empty for classes of others."""
    homes = [base.__module__ for base in cls.__mro__ if base.__module__ in MODULES.values()]
    text = inspect.cleandoc(sys.modules[homes[0]].__doc__ or "") if homes else ""
    return text.partition("\n\n")[2].strip()


def facts(model: "SuperResolutionModel") -> dict[str, Any]:
    """What the short card says of a model."""
    kind = type(model)
    if model.degradation is None:
        task, use = "A model of pictures without an input;", "pictures = model.sample(16, seed=0)"
    else:
        task = f"For x{model.scale} super-resolution, degradation `{model.degradation.name}`;"
        use = 'picture = model.upscale(Image.open("in.png"))'
    described = inspect.cleandoc(kind.__doc__ or f"A {kind.__name__}.")
    return {
        "model_name": kind.__name__,
        "description": described.partition("\n\nArgs:")[0],
        "task": task,
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "use": use,
        "citation": citation(kind),
    }
