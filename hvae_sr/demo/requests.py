"""What is asked of a model: one image, checked against the limits before any work."""

from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from hvae_sr.demo import limits
from hvae_sr.demo.files import read_image
from hvae_sr.demo.output import Output
from hvae_sr.imaging import pixels
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.upscaling import UpscaleOptions

SHRINK = "Shrink a larger image to fit"


@dataclass(frozen=True)
class Request:
    """A checked wish: which image, by which model, how, and how it is saved."""

    file: Path
    image: Image.Image
    model: SuperResolutionModel
    options: UpscaleOptions
    output: Output
    shrunk: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the answers."""
        width, height = self.image.size
        return self.options.size or (width * self.model.scale, height * self.model.scale)

    @property
    def names(self) -> list[str]:
        """What the file of each sample is called: by image, model, and what else made it."""
        parts = [self.file.stem, self.model.name]
        if self.options.size:
            parts.append("{}x{}".format(*self.options.size))
        if self.options.used_temperature:
            parts.append(f"T{self.options.used_temperature:g}-seed{self.options.seed}")
        stem, count = "-".join(parts), self.options.num_samples
        if count == 1:
            return [stem + self.output.suffix]
        return [f"{stem}-sample{n}{self.output.suffix}" for n in range(1, count + 1)]


def checked(
    path: str | None,
    model: SuperResolutionModel,
    options: UpscaleOptions,
    wanted: Output,
    shrink: bool,
    most: int | None = None,
) -> Request:
    """A request within the limits.

    Args:
        path: where the upload lies.
        model: what is asked.
        options: how its answers are drawn.
        wanted: how they are saved.
        shrink: whether an image that is too large is shrunk.
        most: pixels that are taken where it is less than usual.

    Raises:
        ImageError: for no image, or one that cannot be read, is too large, or could not be
            saved so.
        ValueError: for settings that the model does not have.
    """
    if options.used_temperature > 0 and not isinstance(model, GenerativeModel):
        raise ValueError(f"{model.name} has one answer: set temperature 0, or choose another model")
    image = read_image(path)
    wanted.check(image)
    allowed = limits.largest([limits.Work(model, options.num_samples)])
    most = allowed if most is None else max(1, min(most, allowed))
    fitting = limits.shrunk(image.size, most)
    shrunk = shrink and fitting != image.size
    if shrunk:
        lr, rest = pixels.split(image)
        image = pixels.join(lr[0], rest).resize(fitting, Image.Resampling.LANCZOS)
    advice = f'tick "{SHRINK}"' if options.num_samples == 1 else "ask for fewer samples"
    limits.check(image.size, most, advice)
    size = wanted.target(image.size, model.scale)
    options = replace(options, size=size, quality=wanted.used_quality)
    return Request(Path(str(path)), image, model, options, wanted, shrunk)
