"""One picture in, larger ones out: what the command line, folders and Python users share."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.imaging.files import file_record, open_image, save_image, to_supported_mode
from hvae_sr.imaging.pixels import join, split
from hvae_sr.imaging.video import CONTAINERS, is_movie
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.upscaling.sizes import fitted, passes
from hvae_sr.version import __version__

# Formats that hold what an upscaled picture has: many colours, and the record in EXIF.
KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif")
SEVERAL = 0.8  # temperature of several answers when none is given, as in `model.upscale`


@dataclass(frozen=True)
class Settings:
    """How pictures are upscaled.

    Args:
        samples: answers per picture.
        temperature: scale of the latent standard deviations; left out, 0 for one answer and 0.8
            for several.
        seed: of the draws; left out, one is drawn and recorded.
        consistent: project onto the pictures whose LR version is the input.
        tile: side of the tiles in LR pixels; left out, chosen from the memory there is.
        dtype: what the model computes in: float32, bfloat16 or float16.
        size: (width, height) to fit into. The model runs until the picture is at least that
            large, at most three times, then Lanczos resampling shrinks it.
        quality: of lossy files, see `save_image`.

    Raises:
        ValueError: for fewer than one sample, a negative temperature, or a quality out of range.
    """

    samples: int = 1
    temperature: float | None = None
    seed: int | None = None
    consistent: bool = False
    tile: int | None = None
    dtype: str = "float32"
    size: tuple[int, int] | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        if self.temperature is not None and not self.temperature >= 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be 1 to 100, got {self.quality}")

    @property
    def heat(self) -> float:
        """The temperature that is used."""
        if self.temperature is not None:
            return self.temperature
        return 0.0 if self.samples == 1 else SEVERAL

    def drawn(self) -> "Settings":
        """The same with a seed wherever one matters, so that a record can repeat the picture."""
        if self.heat == 0 or self.seed is not None:
            return self
        return replace(self, seed=secrets.randbelow(2**31))


def upscale_image(
    image: Image.Image, model: SuperResolutionModel, settings: Settings
) -> list[Image.Image]:
    """A picture of any mode -> `settings.samples` larger ones.

    Raises:
        ImageError: when three passes do not reach the size.
        ValueError: when a model with one answer is asked for several.
    """
    options: dict[str, Any] = {
        "temperature": settings.heat,
        "seed": settings.seed,
        "consistent": settings.consistent,
        "tile": settings.tile,
        "dtype": settings.dtype,
    }
    if settings.size is None:
        return model.upscale(image, num_samples=settings.samples, **options)
    rgb, rest = split(image)
    image = join(rgb[0], rest)
    target = fitted(*image.size, settings.size)
    needed = passes(*image.size, target, model.scale)
    if needed == 0 and settings.samples > 1:
        raise ImageError(
            f"the picture is {image.width}x{image.height}, no smaller than {target[0]}x{target[1]}:"
            " nothing is left to draw, ask for one sample"
        )
    answers = [image]
    if needed:
        answers = model.upscale(image, num_samples=settings.samples, **options)
    for _ in range(needed - 1):
        answers = [model.upscale(answer, **options) for answer in answers]
    return [answer.resize(target, Image.Resampling.LANCZOS) for answer in answers]


def upscale_file(
    source: Path, targets: Sequence[Path], model: SuperResolutionModel, settings: Settings
) -> None:
    """Upscale one picture file into one file per sample, each with a record of its making.

    Args:
        source: see `open_image`.
        targets: as many paths as there are samples; existing files are replaced.

    Raises:
        ImageError: in one sentence, for what cannot be read, held by the format, or written.
    """
    image = open_image(source)
    for target in targets:
        to_supported_mode(
            image, target
        )  # a format without transparency is refused before the long work
    settings = settings.drawn()
    answers = upscale_image(image, model, settings)
    for record, answer, target in zip(
        records(source, model, settings), answers, targets, strict=True
    ):
        save_image(answer, target, record=record, quality=settings.quality)


def records(source: Path, model: SuperResolutionModel, settings: Settings) -> list[dict[str, Any]]:
    """What is written into each sample's file: enough to make it again.

    Raises:
        ImageError: when the source cannot be read.
    """
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise ImageError(f"{source.name} cannot be read: {error.strerror}") from error
    shared = {
        "model": model.name,
        "revision": model.revision,
        "scale": model.scale,
        "temperature": settings.heat,
        "seed": settings.seed if settings.heat else None,
        "consistent": settings.consistent,
        "dtype": settings.dtype,
        "size": list(settings.size) if settings.size else None,
        "quality": settings.quality,
        "samples": settings.samples,
        "source": digest,
        "version": __version__,
    }
    return [{**shared, "sample": index + 1} for index in range(settings.samples)]


def matches_record(
    source: Path, targets: Sequence[Path], model: SuperResolutionModel, settings: Settings
) -> list[Path]:
    """Those of the targets that were made from this source, by this model, with these settings.

    A seed that is not given matches any; the package's version is not compared.
    """
    free = {"version"} | ({"seed"} if settings.seed is None else set())
    wanted = records(source, model, settings)
    pairs = [(target, file_record(target), w) for target, w in zip(targets, wanted, strict=True)]
    return [
        target
        for target, found, record in pairs
        if found and all(found.get(k) == value for k, value in record.items() if k not in free)
    ]


def kept_suffix(path: Path) -> str:
    """The suffix of an output nobody named: the source's own where that can hold the result.

    Otherwise .png for pictures, and .mkv, which holds any stream, for movies.
    """
    if is_movie(path):
        return path.suffix if path.suffix.lower() in CONTAINERS else ".mkv"
    return path.suffix if path.suffix.lower() in KEPT_SUFFIXES else ".png"


def numbered(target: Path, samples: int) -> list[Path]:
    """One path per sample: OUT.png, or OUT-1.png to OUT-N.png."""
    if samples == 1:
        return [target]
    return [target.with_name(f"{target.stem}-{n}{target.suffix}") for n in range(1, samples + 1)]


def default_target(source: Path, model: SuperResolutionModel, settings: Settings) -> Path:
    """Where the result of a file or folder goes when nobody said: NAME-x4, or NAME-3840x2160."""
    tag = f"x{model.scale}" if settings.size is None else "{}x{}".format(*settings.size)
    if source.is_dir():
        return source.resolve().with_name(f"{source.resolve().name}-{tag}")
    return source.with_name(f"{source.stem}-{tag}{kept_suffix(source)}")
