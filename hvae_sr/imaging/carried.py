"""What an image carries, as options of the encoder of a format, within what the format holds."""

import re
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from hvae_sr.imaging.catalogue import FORMATS
from hvae_sr.imaging.metadata import IPTC, RAW_IPTC, XMP, metadata, record_text

if TYPE_CHECKING:
    from hvae_sr.imaging.deep import DeepImage

MOST_EXIF = {"JPEG": 65533 - 2}  # bytes in one segment, its length among them
MOST_XMP = {"JPEG": 65533 - 29}
MOST_IPTC = {"JPEG": 65533 - 40}
_WITH_EXIF = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
_BULKY = (Base.MakerNote, Base.UserComment, Base.CFAPattern)  # the first to be left out of EXIF
# Places and sizes in pixels of the source, which are wrong in an image of another size.
_STALE: tuple[int, ...] = (37396, Base.SubjectLocation, Base.FocalPlaneXResolution,
          Base.FocalPlaneYResolution, Base.FocalPlaneResolutionUnit)  # fmt: skip
_WIDTHS = ("tiff:ImageWidth", "exif:PixelXDimension", "stDim:w")
_HEIGHTS = ("tiff:ImageLength", "exif:PixelYDimension", "stDim:h")
_BEHIND = ("GCamera:MicroVideo", "GCamera:MicroVideoVersion", "GCamera:MicroVideoOffset",
           "GCamera:MicroVideoPresentationTimestampUs", "GCamera:MotionPhoto",
           "GCamera:MotionPhotoVersion", "GCamera:MotionPhotoPresentationTimestampUs",
           "hdrgm:Version")  # fmt: skip
_PANO = "GPano:"
_PANORAMA = ("CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels", "CroppedAreaLeftPixels",
             "CroppedAreaTopPixels", "FullPanoWidthPixels", "FullPanoHeightPixels",
             "LargestValidInteriorRectLeft", "LargestValidInteriorRectTop",
             "LargestValidInteriorRectWidth", "LargestValidInteriorRectHeight")  # fmt: skip


def encoder_options(
    image: "Image.Image | DeepImage", kind: str, record: dict[str, Any] | None
) -> dict[str, Any]:
    """Options of Pillow's encoder of a format for what an image carries, and a record.

    Raises:
        ImageError: for a record that is too long.
    """
    return _options_and_losses(image, kind, record)[0]


def left_out(
    image: "Image.Image | DeepImage", kind: str, record: dict[str, Any] | None = None
) -> list[str]:
    """What of an image's metadata a file of this format will not hold, in words."""
    return _options_and_losses(image, kind, record)[1]


def _options_and_losses(
    image: "Image.Image | DeepImage", kind: str, record: dict[str, Any] | None
) -> tuple[dict[str, Any], list[str]]:
    kept = metadata(image)
    losses: list[str] = []
    exif = _exif(kept.pop("exif", b""), image.size, kind, record, losses)
    _place_texts(kept, kind, losses)
    _place_iptc(kept, kind, exif, losses)
    _place_xmp(kept, kind, exif, image.size, losses)
    if not FORMATS[kind].profile:
        kept.pop("icc_profile", None)
    if len(exif) and kind in _WITH_EXIF:
        kept["exif"] = exif
    return kept, losses


def _exif(
    block: bytes,
    size: tuple[int, int],
    kind: str,
    record: dict[str, Any] | None,
    losses: list[str],
) -> Image.Exif:
    """EXIF of the output's size, with the record, no larger than the format takes."""
    exif = Image.Exif()
    exif.load(block)
    for tag, value in ((Base.ImageWidth, size[0]), (Base.ImageLength, size[1])):
        if tag in exif:
            exif[tag] = value
    if IFD.Exif in exif:
        details = exif.get_ifd(IFD.Exif)
        if Base.ExifImageWidth in details:
            details[Base.ExifImageWidth], details[Base.ExifImageHeight] = size
        for stale in _STALE:
            details.pop(stale, None)
    if kind not in _WITH_EXIF and len(exif):
        losses.append("EXIF")
    if record is not None:
        exif[Base.ProcessingSoftware] = record_text(record)
    most = MOST_EXIF.get(kind)
    if most is None or len(exif.tobytes()) <= most:
        return exif
    details = exif.get_ifd(IFD.Exif)
    for tag in _BULKY:
        details.pop(tag, None)
    if len(exif.tobytes()) <= most:
        losses.append("what the camera's maker noted in EXIF")
        return exif
    losses.append("EXIF")
    smallest = Image.Exif()
    if record is not None:
        smallest[Base.ProcessingSoftware] = record_text(record)
    return smallest


def _place_texts(kept: dict[str, Any], kind: str, losses: list[str]) -> None:
    """Texts of a PNG and the comment of a JPEG, where the format has a place for them."""
    texts, comment = kept.pop("texts", {}), kept.pop("comment", None)
    if kind == "PNG":
        if comment is not None:
            texts = {"Comment": comment, **texts}
        kept["pnginfo"] = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            kept["pnginfo"].add_itxt(key[:79] or "Comment", text)
        return
    if comment is None:
        comment = texts.pop("Comment", None)
    if comment is not None and kind in ("JPEG", "GIF"):
        kept["comment"] = comment.encode()[: 65533 if kind == "JPEG" else None]
    elif comment is not None:
        losses.append("the comment")
    if texts:
        losses.append("the texts " + ", ".join(sorted(texts)))


def _place_iptc(kept: dict[str, Any], kind: str, exif: Image.Exif, losses: list[str]) -> None:
    iptc = kept.pop("iptc", None)
    if iptc is None:
        return
    if kind == "TIFF":
        exif[IPTC] = iptc
    elif kind == "JPEG" and len(iptc) <= MOST_IPTC[kind]:
        resource = b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
        body = b"Photoshop 3.0\0" + resource
        kept["extra"] = b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
    elif kind == "PNG":
        text = f"\niptc\n{len(iptc):8}\n{iptc.hex()}\n"
        kept["pnginfo"].add_text(RAW_IPTC, text, zip=True)
    else:
        losses.append("IPTC")


def _place_xmp(
    kept: dict[str, Any], kind: str, exif: Image.Exif, size: tuple[int, int], losses: list[str]
) -> None:
    xmp = kept.pop("xmp", None)
    if not xmp:
        return
    xmp = resized_xmp(xmp, size)
    if kind not in _WITH_EXIF or len(xmp) > MOST_XMP.get(kind, len(xmp)):
        losses.append("XMP")
    elif kind == "PNG":
        kept["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    elif kind == "TIFF":
        exif[XMP] = xmp
    else:
        kept["xmp"] = xmp


def resized_xmp(xmp: bytes, size: tuple[int, int]) -> bytes:
    """XMP whose sizes are those of an image of (width, height).

    A panorama's sizes and places grow by the ratio of the width to the one that it names for the
    image; without that they cannot be known and are dropped, as is what speaks of a film or a gain
    map behind the image.
    """
    for names, value in ((_WIDTHS, size[0]), (_HEIGHTS, size[1])):
        for name in names:
            xmp = _numbers(name).sub(rb"\g<1>%d\g<3>" % value, xmp)
    for name in _BEHIND:
        xmp = _without(xmp, name)
    own = _numbers(f"{_PANO}CroppedAreaImageWidthPixels").search(xmp)
    ratio = size[0] / float(own[2]) if own is not None and float(own[2]) > 0 else None
    for name in _PANORAMA:
        xmp = _without(xmp, _PANO + name) if ratio is None else _times(xmp, _PANO + name, ratio)
    return xmp


def _times(xmp: bytes, name: str, ratio: float) -> bytes:
    return _numbers(name).sub(
        lambda found: found[1] + b"%d" % round(float(found[2]) * ratio) + found[3], xmp
    )


def _without(xmp: bytes, name: str) -> bytes:
    tag = name.encode()
    return re.sub(
        rb"<%b>[^<]{0,40}</%b>|\s%b\s*=\s*([\"'])[^\"'<>]{0,40}\1" % (tag, tag, tag), b"", xmp
    )


def _numbers(name: str) -> "re.Pattern[bytes]":
    """A number under a name, as an element or as an attribute: before, number, behind."""
    tag = name.encode()
    return re.compile(
        rb"(<%b>\s*|\b%b\s*=\s*[\"']\s*)(\d{1,9}(?:\.\d{1,9})?)(\s*</|\s*[\"'])" % (tag, tag)
    )
