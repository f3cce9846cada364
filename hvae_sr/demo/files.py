"""Images of visitors: read within limits, and saved where the demo serves them from."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from hvae_sr.demo import jobs
from hvae_sr.demo.cache import own_folder
from hvae_sr.demo.quota import check_room
from hvae_sr.errors import PictureError
from hvae_sr.imaging.budget import STRANGERS
from hvae_sr.imaging.files import open_picture, save_picture

LARGEST_WORK = 2**18  # LR pixels x samples of one answer: the process then needs some 4 GiB
LARGEST_SIDE = 4096  # LR pixels: four times this is as wide as browsers draw reliably


def read_image(path: str | None, answers: int, shrink: int = 1) -> Image.Image:
    """The uploaded image, if `answers` to it are within the demo's limits.

    Args:
        path: where the upload lies.
        answers: how many enlarged images are asked for.
        shrink: by how much the image's sides shrink before a model sees it.

    Raises:
        PictureError: for no image, no longer an image, a broken one or one too large.
    """
    if not path or not Path(path).is_file():
        raise PictureError("there is no image: choose one first, or upload it again")
    image = open_picture(path, largest=LARGEST_WORK * shrink**2, budget=STRANGERS)
    width, height = image.size
    if max(width, height) > LARGEST_SIDE * shrink:
        raise PictureError(
            f"the image is {width}x{height}: the demo takes at most {LARGEST_SIDE * shrink} "
            "pixels along a side, so crop or shrink it"
        )
    allowed = LARGEST_WORK // answers * shrink**2
    if width * height > allowed:
        raise PictureError(
            f"{answers} answers to a {width}x{height} image are too much for the demo: shrink "
            f"it to at most {allowed} pixels ({int(allowed**0.5)}x{int(allowed**0.5)}), or ask "
            "for fewer"
        )
    return image


def stored(
    images: Sequence[Image.Image],
    names: Sequence[str],
    records: Sequence[dict[str, Any] | None] | None = None,
) -> list[str]:
    """Save images where gradio serves them from and, in time, deletes them: their paths.

    Args:
        images: what to save, with metadata and depth kept.
        names: what a download of each is called.
        records: how each was made, written into its file; see `save_picture`.
    """
    folder = new_folder()
    paths = []
    for image, name, record in zip(images, names, records or [None] * len(images), strict=True):
        jobs.check()
        save_picture(image, folder / name, record=record)
        paths.append(str(folder / name))
    return paths


def new_folder() -> Path:
    """An empty folder in the demo's own, its name not to be guessed.

    Raises:
        HvaeSrError: when the demo's disk space is used up.
    """
    check_room()
    own_folder().mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=own_folder()))
