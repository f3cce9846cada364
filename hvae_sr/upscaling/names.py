"""What outputs are called that nobody named."""

from pathlib import Path
from typing import TYPE_CHECKING

from hvae_sr.imaging.video import is_movie

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel
    from hvae_sr.upscaling.options import UpscaleOptions

# Formats that hold what an upscaled image has: many colours, and the record in EXIF.
OTHER_NAMES = {".jfif": ".jpg", ".jpe": ".jpg", ".mpo": ".jpg", ".apng": ".png"}
KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif")


def kept_suffix(path: Path) -> str:
    """The suffix of an output nobody named: the source's own where that can hold the result.

    Otherwise .png for images, and for movies that of a container which holds all their streams.
    """
    if is_movie(path):
        from hvae_sr.imaging.video.copying import suffix_for  # PyAV, for movies alone

        return suffix_for(path)
    if path.suffix.lower() in KEPT_SUFFIXES:
        return path.suffix
    return OTHER_NAMES.get(path.suffix.lower(), ".png")


def numbered(target: Path, num_samples: int) -> list[Path]:
    """One path for each sample: OUT.png, or OUT-1.png to OUT-N.png."""
    if num_samples == 1:
        return [target]
    numbers = range(1, num_samples + 1)
    return [target.with_name(f"{target.stem}-{n}{target.suffix}") for n in numbers]


def default_target(source: Path, model: "SuperResolutionModel", options: "UpscaleOptions") -> Path:
    """Where the result of a file or folder goes when nobody said: NAME-x4, or NAME-3840x2160."""
    tag = f"x{model.scale}" if options.size is None else "{}x{}".format(*options.size)
    if source.is_dir():
        return source.resolve().with_name(f"{source.resolve().name}-{tag}")
    return source.with_name(f"{source.stem}-{tag}{kept_suffix(source)}")
