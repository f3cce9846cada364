"""From an image to a small one that a model can restore."""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hvae_sr import checks
from hvae_sr.degradations import Degradation, get_degradation
from hvae_sr.errors import ImageError, ModelError
from hvae_sr.imaging import pixels
from hvae_sr.imaging.files import ensure_writable, open_image, save_image
from hvae_sr.imaging.formats import check_target
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.rescale.shrunk import Shrunk
from hvae_sr.version import __version__

CODECS = ("PNG", "WEBP", "AVIF")  # formats that hold a record, transparency, and few bytes
QUALITY = 90  # of lossy codecs; an artefact of the small image is enlarged with it


@torch.inference_mode()
def shrink(
    image: Image.Image, by: SuperResolutionModel | Degradation
) -> tuple[Image.Image, Shrunk]:
    """Make the small image that a model can restore.

    Any mode: greyscale stays greyscale, 16-bit greyscale keeps its depth, transparency is
    averaged over each cell, EXIF orientation is applied, other metadata is kept. An image that
    is not a multiple of the scale has its last row and column repeated.

    Args:
        image: the original.
        by: the model that is to restore it, or a degradation alone.

    Returns:
        The small image, and what is to be saved with it (`to_record`).

    Raises:
        ModelError: for a model of LR images, which has no degradation.
        ImageError: for an original too large to be restored.
    """
    checks.instance("image", image, Image.Image, "a Pillow image")
    checks.instance("by", by, Degradation | SuperResolutionModel, "a model or a degradation")
    degradation = by if isinstance(by, Degradation) else degradation_of(by)
    hr, rest = pixels.split(image)
    height, width = hr.shape[-2:]
    name, revision = by.provenance() if isinstance(by, SuperResolutionModel) else (None, None)
    shrunk = Shrunk(
        degradation=degradation.name,
        scale=degradation.scale,
        width=width,
        height=height,
        grey=rest.grey,
        model=name,
        revision=revision,
        version=__version__,
    )
    if rest.alpha is not None:
        cells = get_degradation("area", degradation.scale)
        rest = replace(rest, alpha=cells.linear(padded(rest.alpha, cells.scale)))
    lr = degradation.linear(padded(hr, degradation.scale)).clamp(0, 1)
    return pixels.join(lr[0], rest), shrunk


def shrink_file(
    source: Path,
    target: Path,
    model: SuperResolutionModel,
    *,
    quality: int | None = None,
    lossless: bool = False,
    overwrite: bool = False,
) -> Shrunk:
    """`shrink` from file to file; the output appears whole or not at all.

    Args:
        source: any image file that is read here.
        target: its suffix chooses the codec: .png, .webp or .avif.
        model: the model that is to restore it.
        quality: 1 to 100 of a lossy codec, by default 90.
        lossless: keep every pixel of the small image; PNG always does, AVIF cannot here.
        overwrite: replace an existing target.

    Raises:
        ImageError: in one sentence, for files and choices that cannot be.
    """
    chosen = codec_quality(target, quality, lossless)
    ensure_writable(target, overwrite)
    small, shrunk = shrink(open_image(source), model)
    if small.mode.startswith("I") and check_target(target) != "PNG":
        raise ImageError(f"{source.name} has 16 bits a pixel, which only PNG keeps: use .png")
    save_image(small, target, record=shrunk.to_record(), quality=chosen)
    return shrunk


def codec_quality(target: Path, quality: int | None, lossless: bool) -> int | None:
    """The quality for `save_image` that a user's wishes come to.

    Raises:
        ImageError: for a suffix other than .png, .webp and .avif, and wishes against each other.
    """
    codec = check_target(target)
    if codec not in CODECS:
        raise ImageError(f"{target.name}: small images are stored as .png, .webp or .avif")
    if quality is not None and (lossless or codec == "PNG"):
        raise ImageError(f"{target.name} is to be lossless, which has no quality: leave it out")
    if codec == "PNG":
        return None
    if not lossless:
        return QUALITY if quality is None else quality
    if codec == "AVIF":
        raise ImageError("AVIF is written with losses here: use .webp or .png for --lossless")
    return 100


def degradation_of(model: SuperResolutionModel) -> Degradation:
    """What a model was trained to undo.

    Raises:
        ModelError: for a model of LR images.
    """
    if model.degradation is None:
        raise ModelError("a model of LR images restores nothing: choose one that upscales")
    return model.degradation


def padded(hr: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) with its last row and column repeated up to a multiple of the scale."""
    height, width = hr.shape[-2:]
    return F.pad(hr, (0, -width % scale, 0, -height % scale), mode="replicate")
