"""Image files: one in, one for each sample out, each with a record of its making."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from hvae_sr.imaging.catalogue import format_of
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.imaging.files import ImageFile, read_file, save_animation, save_image
from hvae_sr.imaging.formats import check_side, check_target, losses, to_supported_mode
from hvae_sr.imaging.pixels import upright_size
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
    holds_frames = all((found := format_of(path)) and found.frames for path in targets)
    file = read_file(source, frames=holds_frames)
    first = upright_size(file.images[0])
    if options.size is not None and fitted(*first, options.size) == first:
        warnings.warn(
            f"{source.name} is not smaller than {options.size[0]}x{options.size[1]}: it keeps its "
            "size",
            stacklevel=2,
        )
    made = records(source, model, options)
    for record, target in zip(made, targets, strict=True):
        _check(file, target, model, options, record)
    upscaler = Upscaler(model, options)
    if len(file.images) == 1:
        outputs: Sequence[Image.Image | DeepImage] = upscaler.images(file.images[0])
        for record, output, target in zip(made, outputs, targets, strict=True):
            save_image(output, target, record=record, quality=options.quality)
        return
    frames: list[Sequence[Any]] = [upscaler.images(image) for image in file.images]
    for record, several, target in zip(made, zip(*frames, strict=True), targets, strict=True):
        save_animation(several, target, file, record=record, quality=options.quality)


def _check(
    file: ImageFile,
    target: Path,
    model: "SuperResolutionModel",
    options: UpscaleOptions,
    record: dict[str, Any],
) -> None:
    """Refuse, before the long work, what the target cannot hold, and say what it will lack.

    Raises:
        ImageError: for transparency or a size that its format does not have.
    """
    check_target(target)
    image = file.images[0]
    width, height = upright_size(image)
    size = (width * model.scale, height * model.scale)
    if options.size is not None:
        size = fitted(width, height, options.size)
    check_side(target, size)
    for each in file.images:
        to_supported_mode(each, target)
    for sentence in losses(image, target, record):
        warnings.warn(sentence, stacklevel=3)
