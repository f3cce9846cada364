"""What an image carries beside its pixels, in a form that can be written again; without torch."""

import json
import math
from typing import Any

from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from hvae_sr.errors import ImageError

XMP = 0x02BC  # the TIFF tag
PREFIX = "hvae_sr "
LONGEST_RECORD = 2**14  # characters

# What of a TIFF's tags speaks of the image's making; the others describe the file's layout.
_DESCRIPTIVE = (
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Orientation,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.Copyright,
    Base.ProcessingSoftware,
)


def metadata(image: Image.Image) -> dict[str, Any]:
    """What an image carries beside its pixels: `icc_profile`, `dpi`, `xmp`, `exif`, as bytes.

    EXIF that Pillow cannot parse is left out, and so are the layout tags of a TIFF and the small
    preview some cameras embed.
    """
    exif = readable_exif(image)
    return {**profile_and_size(image), **({"exif": exif.tobytes()} if len(exif) else {})}


def profile_and_size(image: Image.Image) -> dict[str, Any]:
    """`icc_profile`, `xmp` (bytes) and `dpi` of an image, as far as it has them."""
    info = {key: image.info[key] for key in ("icc_profile", "xmp") if image.info.get(key)}
    if isinstance(info.get("xmp"), str):
        info["xmp"] = info["xmp"].encode()
    try:
        dpi = tuple(float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        dpi = ()
    if len(dpi) == 2 and all(math.isfinite(value) and 1 < value < 2**16 for value in dpi):
        info["dpi"] = dpi
    return info


def readable_exif(image: Image.Image) -> Image.Exif:
    """An image's EXIF in a form that is certain to be writable; empty when it cannot be read."""
    exif = Image.Exif()
    try:
        found = image.getexif()
        if image.format == "TIFF":
            for tag in _DESCRIPTIVE:
                if tag in found:
                    exif[tag] = found[tag]
            for part in (IFD.Exif, IFD.GPSInfo):
                values = {k: v for k, v in found.get_ifd(part).items() if k != IFD.Interop}
                if values:
                    exif[part] = values
            found = exif
        exif = Image.Exif()
        exif.load(found.tobytes() if len(found) else b"")
        return exif
    except Exception:  # a hostile EXIF block makes Pillow raise nearly anything
        return Image.Exif()


def record_text(record: dict[str, Any]) -> str:
    """How an output was made, as one line of text, which `parse_record` reads.

    Raises:
        ImageError: for a record that is too long.
    """
    text = PREFIX + json.dumps(record, separators=(",", ":"))
    if len(text) > LONGEST_RECORD:
        raise ImageError(f"a record holds at most {LONGEST_RECORD} characters")
    return text


def parse_record(text: object) -> dict[str, Any] | None:
    """What `record_text` was given, or None for any other text."""
    if not isinstance(text, str) or not text.startswith(PREFIX) or len(text) > LONGEST_RECORD:
        return None
    try:
        record = json.loads(text.removeprefix(PREFIX))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def read_record(image: Image.Image) -> dict[str, Any] | None:
    """The record `save_image` wrote, or None for other people's images and damaged records."""
    try:
        return parse_record(image.getexif().get(Base.ProcessingSoftware))
    except Exception:  # a hostile EXIF block makes Pillow raise nearly anything
        return None


def encoder_options(image: Image.Image, kind: str, record: dict[str, Any] | None) -> dict[str, Any]:
    """Options of Pillow's encoder of a format for what an image carries, and a record.

    Raises:
        ImageError: for a record that is too long.
    """
    kept = metadata(image)
    exif = Image.Exif()
    exif.load(kept.pop("exif", b""))
    if IFD.Exif in exif and Base.ExifImageWidth in exif.get_ifd(IFD.Exif):
        details = exif.get_ifd(IFD.Exif)
        details[Base.ExifImageWidth], details[Base.ExifImageHeight] = image.size
    if record is not None:
        exif[Base.ProcessingSoftware] = record_text(record)
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
