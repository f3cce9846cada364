"""What an image carries beside its pixels, in a form that can be written again; without torch."""

import json
import math
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from hvae_sr.errors import ImageError

if TYPE_CHECKING:
    from hvae_sr.imaging.deep import DeepImage

XMP, IPTC = 0x02BC, 0x83BB  # the TIFF tags
_IPTC_BLOCK = 1028  # of Photoshop's resources
RAW_IPTC = "Raw profile type iptc"  # the text of a PNG
_NO_TEXTS = ("XML:com.adobe.xmp", "Raw profile type", "hvae_sr")
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


def metadata(image: "Image.Image | DeepImage") -> dict[str, Any]:
    """What an image carries beside its pixels: see `profile_and_size`, and `exif` as bytes.

    EXIF that Pillow cannot parse is left out, and so are the layout tags of a TIFF and the small
    preview some cameras embed.
    """
    exif = readable_exif(image)
    return {**profile_and_size(image), **({"exif": exif.tobytes()} if len(exif) else {})}


def profile_and_size(image: "Image.Image | DeepImage") -> dict[str, Any]:
    """What an image has of these, but for EXIF.

    `icc_profile`, `xmp` and `iptc` (bytes), `dpi`, `texts` (of a PNG: key -> text), `comment` (of
    a JPEG or GIF, as text).
    """
    info = {key: image.info[key] for key in ("icc_profile", "xmp") if image.info.get(key)}
    if isinstance(info.get("xmp"), str):
        info["xmp"] = info["xmp"].encode()
    if texts := kept_texts(image):
        info["texts"] = texts
    if iptc := found_iptc(image):
        info["iptc"] = iptc
    comment = image.info.get("comment")
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    if isinstance(comment, str) and comment.strip("\0 "):
        info["comment"] = comment
    try:
        dpi = tuple(float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        dpi = ()
    if len(dpi) == 2 and all(math.isfinite(value) and 1 < value < 2**16 for value in dpi):
        info["dpi"] = dpi
    return info


def kept_texts(image: "Image.Image | DeepImage") -> dict[str, str]:
    """The texts of a PNG, but for those that hold other metadata."""
    found = getattr(image, "text", None) or image.info.get("texts")
    if not isinstance(found, dict):
        return {}
    return {
        str(key): str(text)
        for key, text in found.items()
        if not str(key).startswith(_NO_TEXTS) and isinstance(text, str)
    }


def found_iptc(image: "Image.Image | DeepImage") -> bytes | None:
    """IPTC records: in a JPEG's Photoshop block, a TIFF's tag, a PNG's text, or as read before."""
    found = image.info.get("iptc")
    if found is None and isinstance(block := image.info.get("photoshop"), dict):
        found = block.get(_IPTC_BLOCK)
    if found is None and (tags := getattr(image, "tag_v2", None)) is not None:
        found = tags.get(IPTC)
    if found is None and isinstance(text := image.info.get(RAW_IPTC), str):
        found = _raw_profile(text)
    if isinstance(found, tuple):  # numbers of four bytes, as some programs declare it
        return None
    return bytes(found) if isinstance(found, bytes) and found else None


def _raw_profile(text: str) -> bytes | None:
    """IPTC in a PNG, as ImageMagick has it: a name, a length, and hexadecimal digits.

    The records, or Photoshop's block of resources around them.
    """
    try:
        found = bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None
    position = 0
    while found[position : position + 4] == b"8BIM":
        # Kind, a name padded to an even length, and so is what follows.
        start = position + 6 + (found[position + 6 : position + 7] or b"\0")[0] // 2 * 2 + 2
        length = int.from_bytes(found[start : start + 4], "big")
        if int.from_bytes(found[position + 4 : position + 6], "big") == _IPTC_BLOCK:
            return found[start + 4 : start + 4 + length]
        position = start + 4 + length + length % 2
    return None if found.startswith(b"8BIM") else found


def readable_exif(image: "Image.Image | DeepImage") -> Image.Exif:
    """An image's EXIF in a form that is certain to be writable; empty when it cannot be read."""
    try:
        if isinstance(image, Image.Image):
            found = image.getexif()
        else:
            found = Image.Exif()
            found.load(image.info.get("exif", b""))
        if image.format == "TIFF" and hasattr(image, "tag_v2"):
            found = tiff_exif(found)
        exif = Image.Exif()
        exif.load(found.tobytes() if len(found) else b"")
        return exif
    except Exception:  # a hostile EXIF block makes Pillow raise nearly anything
        return Image.Exif()


def tiff_exif(found: Image.Exif) -> Image.Exif:
    """What of a TIFF's tags speaks of the image's making; the others describe the file."""
    exif = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in found:
            exif[tag] = found[tag]
    for part in (IFD.Exif, IFD.GPSInfo):
        values = {k: v for k, v in found.get_ifd(part).items() if k != IFD.Interop}
        if values:
            exif[part] = values
    return exif


def _own_exif(image: "Image.Image | DeepImage") -> Image.Exif:
    return image.getexif() if isinstance(image, Image.Image) else readable_exif(image)


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


def read_record(image: "Image.Image | DeepImage") -> dict[str, Any] | None:
    """The record `save_image` wrote, or None for other people's images and damaged records."""
    try:
        return parse_record(_own_exif(image).get(Base.ProcessingSoftware))
    except Exception:  # a hostile EXIF block makes Pillow raise nearly anything
        return None
