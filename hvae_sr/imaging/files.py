"""Picture files: opened with limits, saved whole or not at all, with a record of their making."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from hvae_sr.atomic import atomic_write
from hvae_sr.errors import ImageError
from hvae_sr.imaging import decoders
from hvae_sr.imaging.budget import Budget
from hvae_sr.imaging.decoding import AVIF, FORMATS, LARGEST_FILE, Request
from hvae_sr.imaging.metadata import metadata
from hvae_sr.imaging.pixels import eight_bits

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm") + (
    (".avif",) if AVIF else ()
)

WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF")
WITH_DEPTH = ("PNG", "TIFF", "PPM")  # of 16 bits, in greyscale
QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}

XMP = 0x02BC  # the TIFF tag
PREFIX = "hvae_sr "
LONGEST_RECORD = 2**14  # characters


def is_image(path: Path) -> bool:
    """Whether a path is a file whose suffix names a picture format that is read here."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def open_image(
    path: str | Path, largest: int = LARGEST_FILE, budget: Budget | None = None
) -> Image.Image:
    """Read a picture file completely, its size checked before a pixel is decoded.

    A process of its own decodes it, so that Ctrl-C works at any time. Of animated files the first
    frame is read. Pillow reads colours of more than 8 bits with 8, which a warning says; greyscale
    of 16 bits keeps them.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, or AVIF where Pillow has it.
        largest: most pixels accepted.
        budget: what decoding may cost, for files of strangers; left out, as much as it takes.

    Raises:
        ImageError: in one sentence, for a file that is missing, no picture, truncated, huge, or
            over the budget.
    """
    decoded = decoders.decode(Request(str(Path(path).absolute()), largest, budget))
    for sentence in decoded.warnings:
        warnings.warn(sentence, stacklevel=2)
    return decoded.image()


def check_target(path: Path) -> str:
    """The format that a path's suffix names.

    Raises:
        ImageError: when no format written here has that suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(
            f"{path.name}: cannot write {path.suffix!r}, use one of {', '.join(SUFFIXES)}"
        )
    return Image.registered_extensions()[suffix]


def ensure_writable(path: Path, overwrite: bool) -> None:
    """Refuse, before any work, what could not be written after it.

    Raises:
        ImageError: when the path is taken, unless it may be overwritten, or has no folder.
    """
    if os.path.lexists(path) and not overwrite:
        raise ImageError(f"{path} exists: add --overwrite to replace it")
    if not path.parent.is_dir():
        raise ImageError(f"{path.parent} is no folder: make it first")


def to_supported_mode(image: Image.Image, path: Path) -> Image.Image:
    """The picture in a mode that the format of this path can hold.

    Greyscale of more than 8 bits is rounded to them where there is no room for more; an alpha
    channel that is opaque everywhere is dropped where there is none.

    Raises:
        ImageError: for transparency in a format without it.
    """
    kind = check_target(path)
    if image.mode.startswith("I") or image.mode == "F":
        return image if kind in WITH_DEPTH and image.mode != "F" else eight_bits(image)
    if not image.has_transparency_data or kind in WITH_ALPHA:
        return image
    if image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise ImageError(
            f"{path.name} cannot hold transparency: use {', '.join(WITH_ALPHA)} instead"
        )
    opaque = image.convert("L" if image.mode == "LA" else "RGB")
    opaque.info.pop("transparency", None)
    return opaque


def save_image(
    image: Image.Image,
    path: str | Path,
    *,
    record: dict[str, Any] | None = None,
    quality: int | None = None,
) -> None:
    """Write a picture next to its final name, then rename: no half-written file is ever seen.

    ICC profile, EXIF, XMP and DPI that the picture carries are kept, as far as the format has
    room. Greyscale of 16 bits keeps them in PNG, TIFF and PPM; the others take it rounded to 8.
    GIF holds 256 colours.

    Args:
        image: any mode that `hvae_sr.imaging.pixels.join` gives.
        path: its suffix chooses the format.
        record: how the picture was made, JSON; written into EXIF (ProcessingSoftware), so not in
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
        options = {**_encoding(kind, quality), **_metadata(image, kind, record)}
        with atomic_write(path) as scratch:
            image.save(scratch, format=kind, **options)


@contextmanager
def encodable(image: Image.Image, name: str) -> Iterator[None]:
    """Turn whatever an encoder of pictures or the disk raises into one sentence.

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
            f"{name} could not be written, its format does not hold this picture of "
            f"{image.width}x{image.height} pixels ({error}): use PNG or TIFF"
        ) from error


def read_record(image: Image.Image) -> dict[str, Any] | None:
    """The record `save_image` wrote, or None for other people's pictures and damaged records."""
    try:
        text = image.getexif().get(Base.ProcessingSoftware)
        if not isinstance(text, str) or not text.startswith(PREFIX) or len(text) > LONGEST_RECORD:
            return None
        record = json.loads(text.removeprefix(PREFIX))
    except Exception:  # a hostile EXIF block makes Pillow raise nearly anything
        return None
    return record if isinstance(record, dict) else None


def file_record(path: Path) -> dict[str, Any] | None:
    """`read_record` of a file, whose pixels are not decoded; None also when it is no picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return read_record(image)
    except Exception:  # a hostile file makes Pillow raise nearly anything
        return None


def _encoding(kind: str, quality: int | None) -> dict[str, Any]:
    if quality is not None and not 1 <= quality <= 100:
        raise ImageError(f"quality is {quality}: use 1 to 100")
    if kind not in QUALITY:
        return {}
    return {
        "quality": quality or QUALITY[kind],
        **({"lossless": True} if kind == "WEBP" and quality == 100 else {}),
    }


def _metadata(image: Image.Image, kind: str, record: dict[str, Any] | None) -> dict[str, Any]:
    """Options of Pillow's encoders for what the picture carries beside its pixels."""
    kept = metadata(image)
    exif = Image.Exif()
    exif.load(kept.pop("exif", b""))
    if IFD.Exif in exif and Base.ExifImageWidth in exif.get_ifd(IFD.Exif):
        details = exif.get_ifd(IFD.Exif)
        details[Base.ExifImageWidth], details[Base.ExifImageHeight] = image.size
    if record is not None:
        text = PREFIX + json.dumps(record, separators=(",", ":"))
        if len(text) > LONGEST_RECORD:
            raise ImageError(f"a record holds at most {LONGEST_RECORD} characters")
        exif[Base.ProcessingSoftware] = text
    xmp = kept.pop("xmp", None)
    if xmp and kind == "PNG":
        kept["pnginfo"] = PngImagePlugin.PngInfo()
        kept["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    elif xmp and kind == "TIFF":
        exif[XMP] = xmp
    elif xmp:
        kept["xmp"] = xmp
    if len(exif):
        kept["exif"] = exif
    return kept
