"""Image formats: their suffixes, and what each can hold."""

from pathlib import Path
from typing import Any

from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.imaging.decoding import AVIF
from hvae_sr.imaging.pixels import eight_bits

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm") + (
    (".avif",) if AVIF else ()
)
WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF")
WITH_DEPTH = ("PNG", "TIFF", "PPM")  # of 16 bits, in greyscale
QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}  # of the lossy ones, unless it is given


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


def to_supported_mode(image: Image.Image, path: Path) -> Image.Image:
    """The image in a mode that the format of this path can hold.

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


def quality_options(kind: str, quality: int | None) -> dict[str, Any]:
    """Options of Pillow's encoder of a format for a quality of 1 to 100; 100 is lossless WebP.

    Raises:
        ImageError: for a quality out of range.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise ImageError(f"quality is {quality}: use 1 to 100")
    if kind not in QUALITY:
        return {}
    lossless = {"lossless": True} if kind == "WEBP" and quality == 100 else {}
    return {"quality": quality or QUALITY[kind], **lossless}
