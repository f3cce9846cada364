"""The files beside a model's weights, and the short card of a model that was not evaluated.

Cards of measured models are written by `hvae_sr.evaluation.cards`.
"""

import re
from pathlib import Path

from huggingface_hub import ModelCard

from hvae_sr.errors import ModelError
from hvae_sr.version import __version__

TEXT_BYTES = 2**20  # that a text beside the weights may have
CARD, RESULTS, TRAINING, NOTES = "README.md", "results.json", "training.json", "notes.md"
SAMPLES = "samples.png"
COMPANIONS = (CARD, RESULTS, TRAINING, NOTES, SAMPLES)

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
evidence. hvae_sr is Apache-2.0; the images a model was trained on keep their own terms.

## Citation

{{ citation }}
"""

BIBTEX = """\
```bibtex
@software{hvae_sr,
  author = {The hvae_sr authors},
  title = {hvae_sr: image super-resolution with CNNs, VAEs and hierarchical VAEs},
  year = {2026},
  version = {VERSION},
  license = {Apache-2.0}
}
```""".replace("VERSION", __version__)


def companions(folder: Path) -> list[Path]:
    """The files that belong to a model beside its config and weights, those that exist."""
    return [folder / name for name in COMPANIONS if (folder / name).is_file()]


def short_text(path: Path) -> str:
    """A text file that may have come from anywhere.

    Raises:
        ModelError: when it is long, or not UTF-8.
    """
    if path.stat().st_size > TEXT_BYTES:
        raise ModelError(f"{path} is larger than {TEXT_BYTES:,} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8: save it as such") from error


def read_card(path: Path) -> ModelCard:
    """A card that may have come from anywhere.

    Raises:
        ModelError: when its front matter is not what a card's is.
    """
    text = short_text(path)
    try:
        return ModelCard(text)
    except (
        Exception
    ) as error:  # what strangers write there brings any error out of yaml and the hub
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise ModelError(f"{path} has no valid front matter: {said}") from error


def addressed(card: str, name: str) -> str:
    """A card whose snippet loads the model by another name, such as `owner/name`."""
    return re.sub(r'hvae_sr\.load\("[^"]*"\).*', f'hvae_sr.load("{name}")', card, count=1)
