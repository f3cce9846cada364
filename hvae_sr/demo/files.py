"""Images of visitors: read within limits, and saved where the demo serves them from."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from PIL.ExifTags import Base

from hvae_sr.demo import jobs
from hvae_sr.demo.cache import own_folder
from hvae_sr.demo.limits import LARGEST_INPUT
from hvae_sr.demo.quota import check_room
from hvae_sr.demo.values import OWN
from hvae_sr.errors import ImageError
from hvae_sr.imaging import pixels
from hvae_sr.imaging.budget import STRANGERS
from hvae_sr.imaging.files import open_image, save_image
from hvae_sr.imaging.metadata import readable_exif

BYTES = 3  # of a pixel in a file, at most, as good as always


def read_image(path: str | None) -> Image.Image:
    """The uploaded image, upright, whatever it costs to enlarge it: see `limits.check`.

    Raises:
        ImageError: for no image, no longer an image, a broken one or one too large to be read.
    """
    if not path or not Path(path).is_file():
        raise ImageError("there is no image: choose one first, or upload it again")
    image = open_image(path, largest=LARGEST_INPUT, budget=STRANGERS)
    if readable_exif(image).get(Base.Orientation, 1) == 1:
        return image
    rgb, rest = pixels.split(image)  # else its width would be what people see as its height
    return pixels.join(rgb[0], rest)


def stored(
    images: Sequence[Image.Image],
    names: Sequence[str],
    records: Sequence[dict[str, Any] | None] | None = None,
    quality: int | None = None,
) -> list[str]:
    """Save images where gradio serves them from and, in time, deletes them: their paths.

    Args:
        images: what to save, with metadata and depth kept.
        names: what a download of each is called.
        records: how each was made, written into its file; see `save_image`.
        quality: of lossy files.
    """
    folder = new_folder(sum(image.width * image.height for image in images) * BYTES)
    paths = []
    for image, name, record in zip(images, names, records or [None] * len(images), strict=True):
        jobs.check()
        save_image(image, folder / name, record=record, quality=quality)
        paths.append(str(folder / name))
    return paths


def address(path: Path) -> str | None:
    """Where the page finds a file of the demo's own folder, without saying where the folder is."""
    if own_folder() not in path.resolve().parents:
        return None
    return quote((OWN + path.resolve().relative_to(own_folder()).as_posix()).lstrip("/"), safe="/=")


def new_folder(needed: int = 0) -> Path:
    """An empty folder in the demo's own, its name not to be guessed.

    Args:
        needed: bytes that are about to be written into it.

    Raises:
        HvaeSrError: when the demo's disk space is used up.
    """
    check_room(needed)
    own_folder().mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=own_folder()))
