"""The image formats that are read and written here, and what each holds: the one list of them."""

from dataclasses import dataclass
from pathlib import Path

from PIL import features

AVIF = features.check("avif")


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: as Pillow has it.
        title: as people write it.
        suffixes: of files that are written.
        others: further suffixes of files that are read.
        alpha: whether it holds transparency.
        grey16, colour16: whether it holds 16 bits a channel, in greyscale and in colour.
        profile: whether it holds an ICC profile.
        frames: whether it holds an animation; `pages` for independent images.
        side: most pixels a side.
        quality: of a lossy one, unless it is given.
        written: whether it is written here.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    others: tuple[str, ...] = ()
    alpha: bool = False
    grey16: bool = False
    colour16: bool = False
    profile: bool = True
    frames: bool = False
    pages: bool = False
    side: int = 2**31 - 1
    quality: int | None = None
    written: bool = True


_ALL = (
    Format(
        "PNG", "PNG", (".png",), (".apng",), alpha=True, grey16=True, colour16=True, frames=True
    ),
    Format("JPEG", "JPEG", (".jpg", ".jpeg"), (".jpe", ".jfif", ".mpo"), side=65500, quality=95),
    Format("WEBP", "WebP", (".webp",), alpha=True, frames=True, side=16383, quality=95),
    Format("TIFF", "TIFF", (".tif", ".tiff"), alpha=True, grey16=True, colour16=True, pages=True),
    Format("BMP", "BMP", (".bmp",), (".dib",), profile=False),
    Format("GIF", "GIF", (".gif",), profile=False, frames=True, side=65535),
    Format(
        "PPM",
        "PPM",
        (".ppm",),
        (".pgm", ".pbm", ".pnm"),
        grey16=True,
        colour16=True,
        profile=False,
    ),
    Format("AVIF", "AVIF", (".avif",), alpha=True, frames=True, side=32768, quality=90),
    Format("HEIF", "HEIC", (), (".heic", ".heif", ".hif"), alpha=True, written=False),
)
FORMATS = {each.name: each for each in _ALL if AVIF or each.name != "AVIF"}
WRITTEN = {suffix: each for each in FORMATS.values() if each.written for suffix in each.suffixes}
SUFFIXES = tuple(WRITTEN)
READ_SUFFIXES = tuple(s for each in FORMATS.values() for s in (*each.suffixes, *each.others))
QUALITY = {each.name: each.quality for each in FORMATS.values() if each.quality is not None}


def titles(which: str) -> str:
    """The written formats that have a property, as "PNG, WebP, TIFF".

    Args:
        which: name of a field of `Format` that is True for them.
    """
    found = (each.title for each in FORMATS.values() if each.written and getattr(each, which))
    return ", ".join(found)


def format_of(path: Path) -> Format | None:
    """The format that a path's suffix names for writing, or None."""
    return WRITTEN.get(path.suffix.lower())
