"""What answers are saved as: format, quality, size, names, and a reduced view for the page."""

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from hvae_sr.imaging.formats import to_supported_mode
from hvae_sr.imaging.pixels import eight_bits
from hvae_sr.upscaling.sizes import fitted, parse_size

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif"}
LOSSY = ("JPEG", "WebP")
QUALITY = 95
SIZES = [
    ("the model's own scale", "model"),
    ("2 times as wide", "2x"),
    ("3 times as wide", "3x"),
    ("fit into Full HD, 1920 x 1080", "1080p"),
    ("fit into 4K, 3840 x 2160", "4k"),
]
PREVIEW = 2048  # pixels of the longer side of what the page shows of a large answer
LARGEST_PREVIEW = PREVIEW**2  # pixels of an answer that the page shows whole


@dataclass(frozen=True)
class Output:
    """How answers are saved.

    Args:
        format: a name from `FORMATS`.
        quality: 1 to 100, of JPEG and WebP.
        size: `model` for the model's own scale, a factor such as `2x`, a name such as `4k`, or
            WIDTHxHEIGHT to fit into.
    """

    format: str = "PNG"
    quality: int = QUALITY
    size: str = "model"

    @property
    def suffix(self) -> str:
        return FORMATS[self.format]

    @property
    def used_quality(self) -> int | None:
        return self.quality if self.format in LOSSY else None

    def target(self, size: tuple[int, int], scale: int) -> tuple[int, int] | None:
        """(width, height) of the answers to an image of this size; None for the model's scale.

        Raises:
            ImageError: for what is not a size.
            ValueError: for more than the model enlarges.
        """
        if self.size == "model":
            return None
        if found := re.fullmatch(r"x?([0-9]{1,2}(?:\.[0-9]{1,3})?)x?", self.size.strip().lower()):
            factor = float(found[1])
            target = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
        else:
            target = fitted(*size, parse_size(self.size))
        if target[0] > size[0] * scale or target[1] > size[1] * scale:
            raise ValueError(
                f"{target[0]}x{target[1]} is more than {scale} times the image: choose at most "
                f"{size[0] * scale}x{size[1] * scale} for this model"
            )
        return target

    def check(self, image: Image.Image) -> None:
        """Refuse before the work what could not be saved after it.

        Raises:
            ImageError: for transparency in a format without it.
        """
        to_supported_mode(image, Path(f"a {self.format} file{self.suffix}"))


def resized(image: Image.Image, target: tuple[int, int] | None) -> Image.Image:
    """An answer at the size that was asked for."""
    if target is None or image.size == target:
        return image
    return image.resize(target, Image.Resampling.LANCZOS)


def is_large(size: tuple[int, int]) -> bool:
    """Whether the page shows an image of this size reduced."""
    return size[0] * size[1] > LARGEST_PREVIEW


def reduced(image: Image.Image) -> Image.Image:
    """A large image as the page shows it, of 8 bits."""
    small = eight_bits(image) if image.mode.startswith("I") else image.copy()
    small.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS, reducing_gap=2.0)
    small.info = {}
    return small


def archive(files: Sequence[str], path: Path) -> str:
    """One zip with all files, which are compressed already."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        for file in files:
            bundle.write(file, Path(file).name)
    return str(path)
