"""What a file of a format can hold of an image, and the image made so."""

from pathlib import Path
from typing import Any

from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.imaging.carried import left_out
from hvae_sr.imaging.catalogue import FORMATS, QUALITY, SUFFIXES, Format, format_of, titles
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.imaging.pixels import eight_bits
from hvae_sr.imaging.profiles import with_fitting_profile


def check_target(path: Path) -> str:
    """The format that a path's suffix names.

    Raises:
        ImageError: when no format written here has that suffix.
    """
    return _target(path).name


def check_side(path: Path, size: tuple[int, int]) -> None:
    """Refuse an image that is too wide or high for the format of a path, before it is made.

    Raises:
        ImageError: saying which formats hold it.
    """
    target = _target(path)
    if max(size) > target.side:
        raise ImageError(
            f"{path.name} cannot hold {size[0]}x{size[1]} pixels: {target.title} has at most "
            f"{target.side} a side, use PNG or TIFF"
        )


def to_supported_mode(image: Image.Image | DeepImage, path: Path) -> Image.Image | DeepImage:
    """The image in a mode that the format of this path can hold.

    More than 8 bits a channel are rounded to them where there is no room for more; an alpha
    channel that is opaque everywhere is dropped where there is none. Colours become sRGB where no
    profile can say what they are; a profile that does not fit the pixels is dropped.

    Raises:
        ImageError: for transparency in a format without it, and a size beyond its own.
    """
    target = _target(path)
    check_side(path, image.size)
    if image.has_transparency_data and not target.alpha:
        image = _opaque(image, path)
    return with_fitting_profile(_of_depth(image, target), target)


def losses(
    image: Image.Image | DeepImage, path: Path, record: dict[str, Any] | None = None
) -> list[str]:
    """What of an image a file of this path's format will not hold, one sentence each.

    Args:
        record: that will be written, too.

    Raises:
        ImageError: for an unknown suffix.
    """
    target = _target(path)
    found = []
    if _is_deep(image) and not _holds_depth(image, target):
        found.append(
            f"{path.name} gets 8 of the image's 16 bits a channel, as {target.title} has no more"
        )
    if parts := left_out(image, target.name, record):
        found.append(f"{path.name} is written without {', '.join(parts)}, which it cannot hold")
    return found


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


def _target(path: Path) -> Format:
    found = format_of(path)
    if found is None:
        raise ImageError(
            f"{path.name}: cannot write {path.suffix!r}, use one of {', '.join(SUFFIXES)}"
        )
    return FORMATS[found.name]


def _is_deep(image: Image.Image | DeepImage) -> bool:
    return isinstance(image, DeepImage) or image.mode.startswith("I") or image.mode == "F"


def _holds_depth(image: Image.Image | DeepImage, target: Format) -> bool:
    if isinstance(image, DeepImage):
        return target.colour16
    return target.grey16 and image.mode != "F"


def _of_depth(image: Image.Image | DeepImage, target: Format) -> Image.Image | DeepImage:
    if not _is_deep(image) or _holds_depth(image, target):
        return image
    return image.eight_bits() if isinstance(image, DeepImage) else eight_bits(image)


def _opaque(image: Image.Image | DeepImage, path: Path) -> Image.Image | DeepImage:
    """The image without its alpha channel, which must be opaque everywhere."""
    if isinstance(image, DeepImage):
        transparent = image.array[..., -1].min() < 65535
    else:
        alpha = image.convert("RGBA").getchannel("A")
        transparent = alpha.getextrema() != (255, 255)
    if transparent:
        raise ImageError(f"{path.name} cannot hold transparency: use {titles('alpha')} instead")
    if isinstance(image, DeepImage):
        return image.without_alpha()
    opaque = image.convert("L" if image.mode == "LA" else "RGB")
    opaque.info.pop("transparency", None)
    return opaque
