"""Image files: one in, one for each sample out, each with a record of its making."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hvae_sr.imaging.files import open_image, save_image
from hvae_sr.imaging.formats import to_supported_mode
from hvae_sr.upscaling.options import UpscaleOptions
from hvae_sr.upscaling.records import records
from hvae_sr.upscaling.sizes import fitted
from hvae_sr.upscaling.upscaler import Upscaler

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel


def upscale_file(
    source: Path,
    targets: Sequence[Path],
    model: "SuperResolutionModel",
    options: UpscaleOptions | None = None,
) -> None:
    """Upscale one image file into one file for each sample, each with a record of its making.

    Args:
        source: see `open_image`.
        targets: as many paths as there are samples; existing files are replaced.
        options: a seed that they leave out is drawn and recorded.

    Raises:
        ImageError: in one sentence, for what cannot be read, held by the format, or written.
        ValueError, ModelError: as `Upscaler` does.
    """
    options = (options or UpscaleOptions()).with_seed()
    image = open_image(source)
    if options.size is not None and fitted(*image.size, options.size) == image.size:
        warnings.warn(
            f"{source.name} is not smaller than {options.size[0]}x{options.size[1]}: it keeps its "
            "size",
            stacklevel=2,
        )
    for target in targets:
        to_supported_mode(image, target)  # lost transparency is refused before the long work
    outputs = Upscaler(model, options).images(image)
    made = records(source, model, options)
    for record, output, target in zip(made, outputs, targets, strict=True):
        save_image(output, target, record=record, quality=options.quality)
