"""Real photographs that need no network: they come inside scikit-image."""

import functools
import hashlib
import tempfile
from pathlib import Path

import gradio as gr
from PIL import Image
from skimage import data

SIDE = 96  # small enough that a laptop's CPU answers at once

# name -> the square that is kept of the photograph (left, top, side)
CROPS = {
    "astronaut": (128, 0, 224),
    "chelsea": (110, 10, 230),
    "coffee": (130, 10, 380),
}


def photographs(folder: Path) -> list[str]:
    """Write small crops of the photographs as PNG files into `folder`: their paths."""
    return [str(_crop(name, folder / f"{name}.png")) for name in CROPS]


def offer(box: gr.Image) -> gr.Examples:
    """Lay out the photographs below an image box, which takes the one that is chosen."""
    with tempfile.TemporaryDirectory() as folder:  # gradio keeps copies of its own
        return gr.Examples(
            photographs(Path(folder)),
            box,
            cache_examples=False,
            label="Photographs to try",
            api_visibility="private",
        )


def digest(path: Path) -> str:
    """Names what a file holds."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def digests() -> frozenset[str]:
    """Of all photographs."""
    with tempfile.TemporaryDirectory() as folder:
        return frozenset(digest(Path(path)) for path in photographs(Path(folder)))


def _crop(name: str, path: Path) -> Path:
    left, top, side = CROPS[name]
    photograph = Image.fromarray(getattr(data, name)())
    square = photograph.crop((left, top, left + side, top + side))
    square.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return path
