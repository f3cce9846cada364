"""Image files: opened with limits, saved whole or not at all, with a record of their making."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from hvae_sr.atomic import atomic_write
from hvae_sr.errors import ImageError
from hvae_sr.imaging import decoders
from hvae_sr.imaging.budget import Budget
from hvae_sr.imaging.decoding import FORMATS, LARGEST_FILE, Request
from hvae_sr.imaging.formats import SUFFIXES, check_target, quality_options, to_supported_mode
from hvae_sr.imaging.metadata import encoder_options, read_record


def is_image(path: Path) -> bool:
    """Whether a path is a file whose suffix names an image format that is read here."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def open_image(
    path: str | Path, largest: int = LARGEST_FILE, budget: Budget | None = None
) -> Image.Image:
    """Read an image file completely, its size checked before a pixel is decoded.

    A process of its own decodes it, so that Ctrl-C works at any time. Of animated files the first
    frame is read. Pillow reads colours of more than 8 bits with 8, which a warning says; greyscale
    of 16 bits keeps them.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, or AVIF where Pillow has it.
        largest: most pixels accepted.
        budget: what decoding may cost, for files of strangers; left out, as much as it takes.

    Raises:
        ImageError: in one sentence, for a file that is missing, not an image, truncated, huge, or
            over the budget.
    """
    decoded = decoders.decode(Request(str(Path(path).absolute()), largest, budget))
    for sentence in decoded.warnings:
        warnings.warn(sentence, stacklevel=2)
    return decoded.image()


def file_record(path: Path) -> dict[str, Any] | None:
    """`read_record` of a file, whose pixels are not decoded; None also when it is not an image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return read_record(image)
    except Exception:  # a hostile file makes Pillow raise nearly anything
        return None


def ensure_writable(path: Path, overwrite: bool) -> None:
    """Refuse, before any work, what could not be written after it.

    Raises:
        ImageError: when the path is taken, unless it may be overwritten, or has no folder.
    """
    if os.path.lexists(path) and not overwrite:
        raise ImageError(f"{path} exists: add --overwrite to replace it")
    if not path.parent.is_dir():
        raise ImageError(f"{path.parent} is not a folder: make it first")


def save_image(
    image: Image.Image,
    path: str | Path,
    *,
    record: dict[str, Any] | None = None,
    quality: int | None = None,
) -> None:
    """Write an image next to its final name, then rename: no half-written file is ever seen.

    ICC profile, EXIF, XMP and DPI that the image carries are kept, as far as the format has
    room. Greyscale of 16 bits keeps them in PNG, TIFF and PPM; the others take it rounded to 8.
    GIF holds 256 colours.

    Args:
        image: any mode that `hvae_sr.imaging.pixels.join` gives.
        path: its suffix chooses the format.
        record: how the image was made, JSON; written into EXIF (ProcessingSoftware), so not in
            BMP, GIF and PPM, which have none. `read_record` reads it back.
        quality: 1 to 100 for JPEG, WebP and AVIF, by default 95, 95 and 90; 100 makes WebP
            lossless. The other formats always are.

    Raises:
        ImageError: for an unknown suffix, transparency or a size that the format cannot hold, a
            quality out of range, or a full disk.
    """
    path = Path(path)
    kind = check_target(path)
    with encodable(image, str(path)):
        image = to_supported_mode(image, path)
        options = {**quality_options(kind, quality), **encoder_options(image, kind, record)}
        with atomic_write(path) as scratch:
            image.save(scratch, format=kind, **options)


@contextmanager
def encodable(image: Image.Image, name: str) -> Iterator[None]:
    """Turn whatever an encoder of images or the disk raises into one sentence.

    Args:
        name: of what is written.

    Raises:
        ImageError: in place of any other exception.
    """
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory to be written than there is") from error
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{name} could not be written: {reason}") from error
    except Exception as error:
        # Pillow's encoders raise nearly anything: struct.error, RuntimeError, OverflowError.
        raise ImageError(
            f"{name} could not be written, its format does not hold this image of "
            f"{image.width}x{image.height} pixels ({error}): use PNG or TIFF"
        ) from error
