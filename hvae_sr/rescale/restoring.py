"""From a small image back to one of its original's size."""

import warnings
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from hvae_sr import checks
from hvae_sr.degradations import Degradation
from hvae_sr.degradations.linear import CONSISTENT
from hvae_sr.errors import ImageError, ModelError
from hvae_sr.hub import load
from hvae_sr.imaging import pixels
from hvae_sr.imaging.files import ensure_writable, open_image, save_image
from hvae_sr.imaging.formats import check_target, to_supported_mode
from hvae_sr.imaging.metadata import read_record
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.rescale.shrinking import degradation_of, padded
from hvae_sr.rescale.shrunk import Shrunk
from hvae_sr.storage.shelf import bundled
from hvae_sr.upscaling.options import UpscaleOptions
from hvae_sr.upscaling.records import describe
from hvae_sr.upscaling.upscaler import Upscaler

# Turns of the projection of odd sizes. Noise, the worst image, needs at most 8 of them, save for
# the off-centre `gaussian_corner`, where a level or two may be left at the border.
TURNS = 12


@torch.inference_mode()
def restore(
    small: Image.Image,
    model: SuperResolutionModel,
    shrunk: Shrunk,
    options: UpscaleOptions | None = None,
) -> Image.Image:
    """Bring a small image back at the width and height of its original.

    Args:
        small: what `shrink` made, after whatever codec it went through.
        model: any model of the same scale and degradation.
        shrunk: how it was made.
        options: for one output, without a `size`. `consistent` projects onto the images that
            shrink to `small`, borders included; behind a lossy codec `small` is the decoded image,
            with the codec's errors in it.

    Raises:
        ImageError: when the image has not the size its record says.
        ModelError: for a model of another scale or degradation.
        ValueError: for options of several outputs or another size, and as `Upscaler` does.
    """
    checks.instance("small", small, Image.Image, "a Pillow image")
    checks.instance("model", model, SuperResolutionModel, "a model")
    checks.instance("shrunk", shrunk, Shrunk, "what `Shrunk.parse` reads")
    options = _checked(options)
    lr, rest = pixels.split(_grey(small) if shrunk.grey else small)
    check_fit(lr, model, shrunk)
    hr = Upscaler(model, replace(options, consistent=False)).images(lr)[:, 0]
    hr = hr[..., : shrunk.height, : shrunk.width]
    if options.consistent:
        hr = _consistent(hr, lr.to(hr), shrunk.operator)
    larger = pixels.enlarged(rest, shrunk.scale)
    if larger.alpha is not None:
        larger = replace(larger, alpha=larger.alpha[..., : shrunk.height, : shrunk.width])
    return pixels.join(hr[0], larger)


def restore_file(
    source: Path,
    target: Path,
    model: SuperResolutionModel | None = None,
    options: UpscaleOptions | None = None,
    *,
    device: str | torch.device = "cpu",
    overwrite: bool = False,
) -> Shrunk:
    """`restore` from file to file; the output appears whole or not at all.

    Args:
        source: a file that `shrink_file` wrote.
        target: the file to write.
        model: by default the bundled model that the record names, loaded on `device`.
        options: as for `restore`; a seed that they leave out is drawn and recorded.
        overwrite: replace an existing target.

    Raises:
        ImageError: in one sentence, for files that `shrink` did not make.
        ModelError: when the model does not fit, or is not bundled.
        ValueError: as `restore`.
    """
    options = _checked(options).with_seed()
    check_target(target)
    ensure_writable(target, overwrite)
    small = open_image(source)
    try:
        shrunk = Shrunk.parse(read_record(small))
    except ImageError as error:
        raise ImageError(f"{source.name}: {error}") from error
    to_supported_mode(small, target)  # lost transparency is refused before the long work
    if model is None:
        model = load(_named_model(shrunk), device=device)
    if model.name == shrunk.model and model.revision != shrunk.revision:
        warnings.warn(
            f"{source.name} was shrunk for revision {shrunk.revision} of {model.name} and is "
            f"restored with {model.revision}",
            stacklevel=2,
        )
    output = restore(small, model, shrunk, options)
    record = {"action": "restore", **describe(model, options)}
    save_image(output, target, record=record, quality=options.quality)
    return shrunk


def _checked(options: UpscaleOptions | None) -> UpscaleOptions:
    """The options, if they are for one output of the original's size; the defaults for None."""
    options = options or UpscaleOptions()
    if options.num_samples > 1 or options.size is not None:
        raise ValueError("an image is restored once, at its original's size: ask for no other")
    return options


def check_fit(lr: Tensor, model: SuperResolutionModel, shrunk: Shrunk) -> None:
    """Refuse a small image (1, 3, h, w), a model and a record that do not belong together.

    Raises:
        ImageError: when the image has not the size its record says.
        ModelError: for a model of another scale or degradation.
    """
    height, width = lr.shape[-2:]
    if (width, height) != shrunk.size:
        raise ImageError(
            f"a {shrunk.width}x{shrunk.height} image shrunk by {shrunk.scale} is "
            f"{shrunk.size[0]}x{shrunk.size[1]}, but this one is {width}x{height}: it was edited "
            "since, so enlarge it with `hvae-sr upscale`"
        )
    wanted = shrunk.operator
    if model.degradation != wanted:
        own = degradation_of(model)
        raise ModelError(
            f"this image was shrunk by {wanted.scale} with `{wanted.name}`, but the model "
            f"{model.name} restores x{own.scale} and `{own.name}`: choose another --model"
        )


def _named_model(shrunk: Shrunk) -> str:
    """The record's model, if it is bundled: an image must not make anyone download a model."""
    if shrunk.model is None:
        raise ModelError("the record names no model: give one with --model")
    if shrunk.model not in bundled():
        raise ModelError(
            f"the record names the model {shrunk.model!r}, which is not bundled: if you trust it, "
            "give it (or its folder) with --model"
        )
    return shrunk.model


def _grey(small: Image.Image) -> Image.Image:
    """Greyscale again, after a codec that knows colours only."""
    if small.mode.startswith("I") or small.mode in ("L", "LA"):
        return small
    return small.convert("LA" if small.has_transparency_data else "L")


def _consistent(hr: Tensor, lr: Tensor, operator: Degradation) -> Tensor:
    """`Degradation.project` for images of any size, whose border `shrink` repeats.

    Projects in turn onto the images that shrink to `lr` and onto those whose last row and column
    are repeated, which converges as both sets are convex (Bregman 1965); a whole multiple of the
    scale is settled by the first turn.
    """
    height, width = hr.shape[-2:]
    for _ in range(TURNS):
        whole = operator.project(padded(hr, operator.scale), lr)
        hr = _one_last(_one_last(whole, height, -2), width, -1)
        if operator.residual(padded(hr, operator.scale), lr).abs().max() < CONSISTENT:
            break
    return hr


def _one_last(hr: Tensor, size: int, dim: int) -> Tensor:
    """The nearest image whose rows or columns from `size` on repeat the one before, cut there."""
    kept, repeated = hr.split([size - 1, hr.shape[dim] - size + 1], dim=dim)
    return torch.cat([kept, repeated.mean(dim=dim, keepdim=True)], dim=dim)
