"""Answers: computed by a model, saved as files, and told in numbers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradio.utils import LRUCache
from PIL import Image

from hvae_sr.demo import examples, output, uncertainty
from hvae_sr.demo.files import new_folder, stored
from hvae_sr.demo.output import is_large, reduced, resized
from hvae_sr.demo.progress import Steps
from hvae_sr.demo.requests import Request
from hvae_sr.imaging import pixels
from hvae_sr.nn.resize import enlarge
from hvae_sr.upscaling import UpscaleOptions, UpscaleOutput, Upscaler
from hvae_sr.upscaling.records import records

MOST_KEPT = 12  # answers to examples: 10 MB each at most


@dataclass(frozen=True)
class Shown:
    """What is shown of a finished answer, and what replaces it when another sample is chosen.

    Args:
        before: file of the bicubic enlargement.
        views: what the page shows of each sample.
        files: of the samples.
        numbers: of each sample.
    """

    before: str
    views: tuple[str, ...]
    files: tuple[str, ...]
    numbers: tuple[dict[str, Any], ...]

    @property
    def is_kept(self) -> bool:
        """Whether all its files are still there."""
        return all(Path(each).is_file() for each in (self.before, *self.views, *self.files))


def bicubic(image: Image.Image, scale: int) -> Image.Image:
    """The image enlarged by interpolation, its alpha, greyness and depth kept."""
    lr, rest = pixels.split(image)
    return pixels.join(enlarge(lr, scale)[0].clamp(0, 1), pixels.enlarged(rest, scale))


def answer(asked: Request, steps: Steps) -> UpscaleOutput:
    """What the model says to a request, at its own scale."""
    # One pass of the model, whose answer is then resized: its figures are of that pass.
    upscaler = Upscaler(asked.model, replace(asked.options, size=None), progress=steps)
    if asked.options.used_temperature == 0 and is_large(asked.size):
        # All that a call says beside the image would take twice the memory.
        images = upscaler.images(asked.image)
        return UpscaleOutput(images, images[0], None, None, 0.0, 0)
    return upscaler(asked.image)


class ExampleAnswers:
    """Answers to the page's examples, which are computed once; those to all else anew each time."""

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[str, str, UpscaleOptions], UpscaleOutput] = LRUCache(MOST_KEPT)

    def answer(self, asked: Request, steps: Steps) -> UpscaleOutput:
        """See `answer`."""
        if asked.shrunk or examples.digest(asked.file) not in examples.digests():
            return answer(asked, steps)
        options = replace(asked.options, size=None, quality=None)
        key = (examples.digest(asked.file), asked.model.name, options)
        if key not in self._kept:
            self._kept[key] = answer(asked, steps)
        return self._kept[key]


def saved(asked: Request, found: UpscaleOutput, seconds: float) -> tuple[Shown, str | None]:
    """The files of an answer, and the zip of several ones."""
    target, large = asked.options.size, is_large(asked.size)
    images = [resized(each, target) for each in found.images]
    made = records(asked.file, asked.model, asked.options)
    if asked.shrunk:
        made = [{**each, "shrunk": list(asked.image.size)} for each in made]
    files = stored(images, asked.names, made, asked.options.quality)
    if large:
        before = asked.image.copy()
        before.thumbnail((output.PREVIEW, output.PREVIEW), Image.Resampling.BICUBIC)
        before = reduced(before).resize(reduced(images[0]).size, Image.Resampling.BICUBIC)
    else:
        before = resized(bicubic(asked.image, asked.model.scale), target)
    views = files
    if large or asked.output.format != "PNG":
        seen = [reduced(each) if large else each for each in images]
        views = stored(seen, [f"{Path(name).stem}.png" for name in asked.names])
    (bicubic_file,) = stored([before], [f"{asked.file.stem}-bicubic.png"])
    archive = None
    if len(files) > 1:
        stem = Path(asked.names[0]).stem.removesuffix("-sample1")
        archive = output.archive(files, new_folder() / f"{stem}-samples.zip")
    numbers = numbers_of(asked, found, seconds)
    return Shown(bicubic_file, tuple(views), tuple(files), tuple(numbers)), archive


def std_map(found: UpscaleOutput) -> Image.Image | None:
    """The map of the standard deviation, where several samples show it."""
    if found.std is None or len(found.images) == 1:
        return None
    values = uncertainty.pixel_std(found.std)
    return reduced(uncertainty.coloured(values, _top(found)))


def _top(found: UpscaleOutput) -> float:
    """The largest standard deviation; below one grey level there is nothing to see."""
    assert found.std is not None
    return max(float(uncertainty.pixel_std(found.std).max()), 1.0)


def numbers_of(asked: Request, found: UpscaleOutput, seconds: float) -> list[dict[str, Any]]:
    """What clients are told of each sample."""
    count, drawn = len(found.images), asked.options.used_temperature > 0
    quality = [None] * count if found.lr_psnr is None else found.lr_psnr[0].tolist()
    shared = {
        "model": asked.model.name,
        "scale": asked.model.scale,
        "input_width": asked.image.width,
        "input_height": asked.image.height,
        "width": asked.size[0],
        "height": asked.size[1],
        "temperature": asked.options.used_temperature,
        "drawn": drawn,
        "seed": asked.options.seed if drawn else None,
        "consistent": asked.options.consistent,
        "shrunk": asked.shrunk,
        "reduced": is_large(asked.size),
        "num_samples": count,
        "several": count > 1,
        "std_max": round(_top(found), 1) if found.std is not None and count > 1 else None,
        "seconds": round(seconds, 2),
    }
    return [
        {**shared, "sample": n, "lr_psnr": None if value is None else round(value, 1)}
        for n, value in enumerate(quality, start=1)
    ]


def label(numbers: dict[str, Any]) -> str:
    value = numbers["lr_psnr"]
    return f"{numbers['sample']}: " + ("not defined" if value is None else f"{value} dB")
