"""Image files: opened with limits, saved whole or not at all, with a record of their making."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from hvae_sr.atomic import atomic_write
from hvae_sr.errors import ImageError
from hvae_sr.imaging import decoders
from hvae_sr.imaging.budget import Budget
from hvae_sr.imaging.carried import encoder_options
from hvae_sr.imaging.catalogue import FORMATS as CATALOGUE
from hvae_sr.imaging.catalogue import READ_SUFFIXES, SUFFIXES
from hvae_sr.imaging.decoding import FORMATS, LARGEST_FILE, Decoded, Request
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.imaging.encoding import save_frames, write_deep
from hvae_sr.imaging.formats import check_target, quality_options, to_supported_mode
from hvae_sr.imaging.metadata import read_record
from hvae_sr.imaging.refusals import encodable

__all__ = [
    "LARGEST_FILE", "SUFFIXES", "ImageFile", "encodable", "ensure_writable", "file_record",
    "is_image", "open_image", "read_file", "read_record", "save_animation", "save_image",
]  # fmt: skip


@dataclass(frozen=True)
class ImageFile:
    """What was read of an image file, at full depth.

    Args:
        images: one, or every frame of an animation.
        durations: of the frames, in milliseconds; empty for a still image.
        loop: how often the animation is shown, 0 for ever; None where the file does not say.
    """

    images: list[Image.Image | DeepImage]
    durations: list[float]
    loop: int | None


def is_image(path: Path) -> bool:
    """Whether a path is a file whose suffix names an image format that is read here."""
    return path.suffix.lower() in READ_SUFFIXES and path.is_file()


def read_file(
    path: str | Path,
    largest: int = LARGEST_FILE,
    budget: Budget | None = None,
    *,
    frames: bool = False,
) -> ImageFile:
    """Read an image file completely and at its depth, as `open_image` does.

    Args:
        frames: read all frames of an animation.

    Raises:
        ImageError: see `open_image`.
    """
    decoded = decoders.decode(Request(str(Path(path).absolute()), largest, budget, frames))
    for sentence in decoded.warnings:
        warnings.warn(sentence, stacklevel=2)
    return ImageFile(decoded.images(), decoded.durations, _times_shown(decoded))


def _times_shown(decoded: Decoded) -> int | None:
    """How often an animation is shown, 0 for ever. GIF counts the times after the first."""
    loop = decoded.info.get("loop")
    if decoded.format == "GIF":
        loop = 1 if loop is None else loop + 1 if isinstance(loop, int) and loop > 0 else loop
    return loop if isinstance(loop, int) else None


def open_image(
    path: str | Path, largest: int = LARGEST_FILE, budget: Budget | None = None
) -> Image.Image:
    """Read an image file completely, its size checked before a pixel is decoded.

    A process of its own decodes it, so that Ctrl-C works at any time. Of animations and files of
    several pages the first is read, which a warning says. As Pillow has no mode for them, colours
    of more than 8 bits become 8, which a warning says, too (`read_file` keeps them); greyscale of
    16 bits keeps them.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, AVIF where Pillow has it, or HEIC where
            pi-heif is installed.
        largest: most pixels accepted.
        budget: what decoding may cost, for files of strangers; left out, as much as it takes.

    Raises:
        ImageError: in one sentence, for a file that is missing, not an image, truncated, huge,
            camera raw, HDR, of values that have no known white, or over the budget.
    """
    (image,) = read_file(path, largest, budget).images
    if isinstance(image, DeepImage):
        sentence = f"{Path(path).name} has 16 bits a colour, of which 8 are read"
        warnings.warn(sentence, stacklevel=2)
        return image.eight_bits()
    return image


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
    image: Image.Image | DeepImage,
    path: str | Path,
    *,
    record: dict[str, Any] | None = None,
    quality: int | None = None,
) -> None:
    """Write an image next to its final name, then rename: no half-written file is ever seen.

    ICC profile, EXIF, XMP, IPTC, texts and DPI that the image carries are kept, as far as the
    format has room, see `formats.losses`. 16 bits a channel are kept in PNG, TIFF and PPM; the
    others take them rounded to 8. GIF holds 256 colours.

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
    with encodable(image.size, str(path)):
        image = to_supported_mode(image, path)
        options = {**quality_options(kind, quality), **encoder_options(image, kind, record)}
        with atomic_write(path) as scratch:
            if isinstance(image, DeepImage):
                write_deep(image, scratch, kind, options)
            else:
                image.save(scratch, format=kind, **options)


def save_animation(
    images: Sequence[Image.Image],
    path: str | Path,
    source: ImageFile,
    *,
    record: dict[str, Any] | None = None,
    quality: int | None = None,
) -> None:
    """`save_image` for every frame of an animation, with the timing of its source.

    Raises:
        ImageError: as `save_image`, and for a format without animations.
    """
    path = Path(path)
    kind = check_target(path)
    if not CATALOGUE[kind].frames:
        raise ImageError(f"{path.name} cannot hold an animation: use GIF, PNG, WebP or AVIF")
    with encodable(images[0].size, str(path)):
        frames = [to_supported_mode(image, path) for image in images]
        plain = [each.eight_bits() if isinstance(each, DeepImage) else each for each in frames]
        options = {**quality_options(kind, quality), **encoder_options(plain[0], kind, record)}
        with atomic_write(path) as scratch:
            save_frames(plain, scratch, kind, source.durations, source.loop, options)
