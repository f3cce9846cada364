"""Store coarse, restore later: a small picture that remembers how it was made, and the way back.

Shrinking is the model's own degradation, so what the model sees again is what it was trained on.
"""

import warnings
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hvae_sr.degradations import Degradation, get_degradation
from hvae_sr.degradations.linear import CONSISTENT
from hvae_sr.errors import ImageError, ModelError
from hvae_sr.hub import bundled, load
from hvae_sr.imaging import pixels
from hvae_sr.imaging.decoding import LARGEST_FILE
from hvae_sr.imaging.files import (
    check_target,
    ensure_writable,
    open_image,
    read_record,
    save_image,
    to_supported_mode,
)
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.upscaling.images import Settings
from hvae_sr.version import __version__

CODECS = ("PNG", "WEBP", "AVIF")  # formats that hold a record, transparency, and few bytes
QUALITY = 90  # of lossy codecs; an artefact of the small picture is enlarged with it
LONGEST_NAME = 200
# Turns of the projection of odd sizes. Noise, the worst picture, needs at most 8 of them, save for
# the off-centre `gaussian_corner`, where a level or two may be left at the border.
TURNS = 12


@dataclass(frozen=True)
class Shrunk:
    """How a small picture was made; travels with it as JSON in its EXIF.

    Args:
        degradation: name of the operator that made it.
        scale: pixels of the original per pixel of the small picture, along each side.
        width: of the original, in pixels; no multiple of the scale is needed.
        height: likewise.
        grey: whether the original was greyscale, which WebP and AVIF do not remember.
        model: bundled name or `owner/name` of the model that is to restore it; None when only a
            degradation was given.
        revision: of that model.
        version: of the package that wrote this.

    Raises:
        ImageError: for values that `shrink` never writes; a record may come from anyone.
    """

    degradation: str
    scale: int
    width: int
    height: int
    grey: bool
    model: str | None
    revision: str | None
    version: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            # A bool is an int to isinstance, and would pass as a width of 1.
            if type(value) not in _TYPES[field.name]:
                raise _refused(f"its {field.name} is a {type(value).__name__}")
            if isinstance(value, str) and len(value) > LONGEST_NAME:
                raise _refused(f"its {field.name} has {len(value)} characters")
        try:
            get_degradation(self.degradation, self.scale)
        except ValueError as error:
            raise _refused("its degradation or scale is unknown here") from error
        if min(self.width, self.height) < 1 or self.width * self.height > LARGEST_FILE:
            raise _refused(f"originals have 1 to {LARGEST_FILE} pixels")

    @classmethod
    def parse(cls, record: dict[str, Any] | None) -> Self:
        """Check what `read_record` found in a picture.

        Raises:
            ImageError: for a picture that `shrink` did not make, and a damaged record.
        """
        if record is None or record.get("action") != "shrink":
            raise ImageError(
                "this picture was not made by `hvae-sr shrink`: enlarge it with `hvae-sr upscale`"
            )
        missing = [field.name for field in fields(cls) if field.name not in record]
        if missing:
            raise _refused(f"it has no {missing[0]}")
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    def to_record(self) -> dict[str, Any]:
        """JSON for `save_image`; `parse` reads it back."""
        return {"action": "shrink", **asdict(self)}

    @property
    def operator(self) -> Degradation:
        """What made the small picture, once the original was padded to a multiple of the scale."""
        return get_degradation(self.degradation, self.scale)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the small picture."""
        return -(-self.width // self.scale), -(-self.height // self.scale)


_TYPES: dict[str, tuple[type, ...]] = {
    "degradation": (str,),
    "scale": (int,),
    "width": (int,),
    "height": (int,),
    "grey": (bool,),
    "model": (str, type(None)),
    "revision": (str, type(None)),
    "version": (str,),
}


@torch.inference_mode()
def shrink(
    image: Image.Image, by: SuperResolutionModel | Degradation
) -> tuple[Image.Image, Shrunk]:
    """Make the small picture that a model can restore.

    Any mode: greyscale stays greyscale, 16-bit greyscale keeps its depth, transparency is
    averaged over each cell, EXIF orientation is applied, other metadata is kept. A picture that
    is no multiple of the scale has its last row and column repeated.

    Args:
        image: the original.
        by: the model that is to restore it, or a degradation alone.

    Returns:
        The small picture, and what is to be saved with it (`to_record`).

    Raises:
        ModelError: for a model of LR images, which has no degradation.
        ImageError: for an original too large to be restored.
    """
    degradation = by if isinstance(by, Degradation) else _degradation(by)
    hr, rest = pixels.split(image)
    height, width = hr.shape[-2:]
    shrunk = Shrunk(
        degradation=degradation.name,
        scale=degradation.scale,
        width=width,
        height=height,
        grey=rest.grey,
        model=by.name if isinstance(by, SuperResolutionModel) else None,
        revision=by.revision if isinstance(by, SuperResolutionModel) else None,
        version=__version__,
    )
    if rest.alpha is not None:
        cells = get_degradation("area", degradation.scale)
        rest = replace(rest, alpha=cells.linear(padded(rest.alpha, cells.scale)))
    lr = degradation.linear(padded(hr, degradation.scale)).clamp(0, 1)
    return pixels.join(lr[0], rest), shrunk


@torch.inference_mode()
def restore(
    small: Image.Image,
    model: SuperResolutionModel,
    shrunk: Shrunk,
    *,
    temperature: float = 0.0,
    seed: int | None = None,
    consistent: bool = False,
    tile: int | None = None,
    dtype: str = "float32",
) -> Image.Image:
    """Bring a small picture back at the width and height of its original.

    Args:
        small: what `shrink` made, after whatever codec it went through.
        model: any model of the same scale and degradation.
        shrunk: how it was made.
        temperature, seed, tile, dtype: as for `model.upscale`.
        consistent: project onto the pictures that shrink to `small`, borders included. Behind a
            lossy codec `small` is the decoded picture, with the codec's errors in it.

    Raises:
        ImageError: when the picture has not the size its record says.
        ModelError: for a model of another scale or degradation.
        ValueError: as `model.upscale`.
    """
    lr, rest = pixels.split(_grey(small) if shrunk.grey else small)
    check_fit(lr, model, shrunk)
    hr = model.upscale(lr, temperature=temperature, seed=seed, tile=tile, dtype=dtype)
    hr = hr[..., : shrunk.height, : shrunk.width]
    if consistent:
        hr = _consistent(hr, lr.to(hr), shrunk.operator)
    larger = pixels.enlarged(rest, shrunk.scale)
    if larger.alpha is not None:
        larger = replace(larger, alpha=larger.alpha[..., : shrunk.height, : shrunk.width])
    return pixels.join(hr[0], larger)


def check_fit(lr: Tensor, model: SuperResolutionModel, shrunk: Shrunk) -> None:
    """Refuse a small picture (1, 3, h, w), a model and a record that do not belong together.

    Raises:
        ImageError: when the picture has not the size its record says.
        ModelError: for a model of another scale or degradation.
    """
    height, width = lr.shape[-2:]
    if (width, height) != shrunk.size:
        raise ImageError(
            f"a {shrunk.width}x{shrunk.height} picture shrunk by {shrunk.scale} is "
            f"{shrunk.size[0]}x{shrunk.size[1]}, but this one is {width}x{height}: it was edited "
            "since, so enlarge it with `hvae-sr upscale`"
        )
    wanted = shrunk.operator
    if model.degradation != wanted:
        own = _degradation(model)
        raise ModelError(
            f"this picture was shrunk by {wanted.scale} with `{wanted.name}`, but the model "
            f"{model.name} restores x{own.scale} and `{own.name}`: choose another --model"
        )


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
        source: any picture file that is read here.
        target: its suffix chooses the codec: .png, .webp or .avif.
        model: the model that is to restore it.
        quality: 1 to 100 of a lossy codec, by default 90.
        lossless: keep every pixel of the small picture; PNG always does, AVIF cannot here.
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


def restore_file(
    source: Path,
    target: Path,
    model: SuperResolutionModel | None = None,
    *,
    temperature: float = 0.0,
    seed: int | None = None,
    consistent: bool = False,
    tile: int | None = None,
    dtype: str = "float32",
    device: str | torch.device = "cpu",
    overwrite: bool = False,
) -> Shrunk:
    """`restore` from file to file; the output appears whole or not at all.

    Args:
        source: a file that `shrink_file` wrote.
        target: the file to write.
        model: by default the bundled model that the record names, loaded on `device`.
        temperature, seed, consistent, tile, dtype: as for `restore`.
        overwrite: replace an existing target.

    Raises:
        ImageError: in one sentence, for files that `shrink` did not make.
        ModelError: when the model does not fit, or is not bundled.
    """
    check_target(target)
    ensure_writable(target, overwrite)
    small = open_image(source)
    try:
        shrunk = Shrunk.parse(read_record(small))
    except ImageError as error:
        raise ImageError(f"{source.name}: {error}") from error
    to_supported_mode(
        small, target
    )  # a format without transparency is refused before the long work
    if model is None:
        model = load(_named_model(shrunk), device=device)
    if model.name == shrunk.model and model.revision != shrunk.revision:
        warnings.warn(
            f"{source.name} was shrunk for revision {shrunk.revision} of {model.name} and is "
            f"restored with {model.revision}",
            stacklevel=2,
        )
    seed = Settings(temperature=temperature, seed=seed).drawn().seed
    answer = restore(
        small,
        model,
        shrunk,
        temperature=temperature,
        seed=seed,
        consistent=consistent,
        tile=tile,
        dtype=dtype,
    )
    record = {
        "action": "restore",
        "model": model.name,
        "revision": model.revision,
        "temperature": temperature,
        "seed": seed if temperature else None,
        "consistent": consistent,
        "version": __version__,
    }
    save_image(answer, target, record=record)
    return shrunk


def codec_quality(target: Path, quality: int | None, lossless: bool) -> int | None:
    """The quality for `save_image` that a user's wishes come to.

    Raises:
        ImageError: for a suffix other than .png, .webp and .avif, and wishes against each other.
    """
    codec = check_target(target)
    if codec not in CODECS:
        raise ImageError(f"{target.name}: small pictures are stored as .png, .webp or .avif")
    if quality is not None and (lossless or codec == "PNG"):
        raise ImageError(f"{target.name} is to be lossless, which has no quality: leave it out")
    if codec == "PNG":
        return None
    if not lossless:
        return QUALITY if quality is None else quality
    if codec == "AVIF":
        raise ImageError("AVIF is written with losses here: use .webp or .png for --lossless")
    return 100


def _named_model(shrunk: Shrunk) -> str:
    """The record's model, if it is bundled: a picture must not make anyone download a model."""
    if shrunk.model is None:
        raise ModelError("the record names no model: give one with --model")
    if shrunk.model not in bundled():
        raise ModelError(
            f"the record names the model {shrunk.model!r}, which is not bundled: if you trust it, "
            "give it (or its folder) with --model"
        )
    return shrunk.model


def _degradation(model: SuperResolutionModel) -> Degradation:
    if model.degradation is None:
        raise ModelError("a model of LR pictures restores nothing: choose one that upscales")
    return model.degradation


def _grey(small: Image.Image) -> Image.Image:
    """Greyscale again, after a codec that knows colours only."""
    if small.mode.startswith("I") or small.mode in ("L", "LA"):
        return small
    return small.convert("LA" if small.has_transparency_data else "L")


def padded(hr: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) with its last row and column repeated up to a multiple of the scale."""
    height, width = hr.shape[-2:]
    return F.pad(hr, (0, -width % scale, 0, -height % scale), mode="replicate")


def _consistent(hr: Tensor, lr: Tensor, operator: Degradation) -> Tensor:
    """`Degradation.project` for pictures of any size, whose border `shrink` repeats.

    Projects in turn onto the pictures that shrink to `lr` and onto those whose last row and column
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
    """The nearest picture whose rows or columns from `size` on repeat the one before, cut there."""
    kept, repeated = hr.split([size - 1, hr.shape[dim] - size + 1], dim=dim)
    return torch.cat([kept, repeated.mean(dim=dim, keepdim=True)], dim=dim)


def _refused(reason: str) -> ImageError:
    return ImageError(f"the record of this picture cannot be used: {reason}")
