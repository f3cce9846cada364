"""Pillow images <-> tensors: every mode an image can have, in one place.

Networks see RGB in [0, 1]; what is not colour (alpha, greyness, 16-bit depth, ICC profile, EXIF)
is set aside by `split` and put back by `join`.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageOps
from PIL.ExifTags import Base
from torch import Tensor

from hvae_sr.errors import ImageError
from hvae_sr.imaging.deep import DEEPEST, DeepImage
from hvae_sr.imaging.metadata import profile_and_size, readable_exif
from hvae_sr.nn.resize import enlarge

# What `ImageOps.exif_transpose` takes out of XMP, too.
_TURNED = re.compile(
    rb"\btiff:Orientation=[\"'][0-9][\"']|<tiff:Orientation>[0-9]</tiff:Orientation>"
)
_STRAIGHT = {"RGBa": "RGBA", "La": "LA"}
_ON_THEIR_SIDE = (5, 6, 7, 8)  # EXIF's orientations that swap width and height
_NEAR = 1 / 512  # by which resampling may leave [0, 1]
_STRIP = 2**20  # values converted at a time, so that no temporary is as large as the image


@dataclass(frozen=True)
class Rest:
    """What of a Pillow image is not colour: its mode family, alpha (1, 1, H, W), metadata."""

    grey: bool
    deep: bool
    alpha: Tensor | None
    info: dict[str, Any]


def split(image: Image.Image | DeepImage) -> tuple[Tensor, Rest]:
    """Any Pillow image, or one of 16 bits -> RGB (1, 3, H, W) in [0, 1], upright, and the rest.

    Greyscale is repeated over the three channels; palettes, CMYK (through its ICC profile where
    that is usable) and LAB become RGB. Greyscale of 16 bits or floating point in [0, 1] comes
    back with 16 bits. EXIF orientation is applied and removed. Colours under fully transparent
    pixels, which nobody sees, are filled from the visible ones around them, so that they leave no
    fringe when the image is enlarged.

    Raises:
        ImageError: for an image with no pixel, for integers that 16 bits cannot hold, and for
            floating-point values outside [0, 1], naming their range.
    """
    if 0 in image.size:
        raise ImageError(f"the image is {image.width}x{image.height}: it has no pixel")
    exif = readable_exif(image)
    orientation = exif.pop(Base.Orientation, None)
    if isinstance(image, DeepImage):
        return _split_deep(image, exif, orientation)
    image.load()
    image = _upright(image)
    info = {**profile_and_size(image), **({"exif": exif.tobytes()} if len(exif) else {})}
    if image.mode.startswith("I") or image.mode == "F":
        return _deep(image).expand(1, 3, -1, -1), Rest(True, True, None, info)
    if image.mode in ("CMYK", "LAB"):
        # The profile describes inks or is none: not the RGB that leaves here.
        return _tensor(_to_rgb(image, info.pop("icc_profile", None))), Rest(
            False, False, None, info
        )
    grey_only = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert(_STRAIGHT.get(image.mode, image.mode)).convert("RGBA")
        rgba = _tensor(image)
        alpha = rgba[:, 3:]
        return _filled(rgba[:, :3], alpha > 0), Rest(grey_only, False, alpha, info)
    return _tensor(image.convert("RGB")), Rest(grey_only, False, None, info)


def upright_size(image: Image.Image | DeepImage) -> tuple[int, int]:
    """(width, height) of what `split` gives, which applies EXIF's orientation."""
    turned = readable_exif(image).get(Base.Orientation) in _ON_THEIR_SIDE
    return image.size[::-1] if turned else image.size


def _split_deep(image: DeepImage, exif: Image.Exif, orientation: object) -> tuple[Tensor, Rest]:
    info = {**profile_and_size(image), **({"exif": exif.tobytes()} if len(exif) else {})}
    if "xmp" in info:
        info["xmp"] = _TURNED.sub(b"", info["xmp"])
    array = _turned(image.array, orientation)
    values = torch.empty(array.shape[2], *array.shape[:2])
    for channel, out in enumerate(values):
        out.copy_(torch.from_numpy(array[..., channel].astype(np.float32))).div_(DEEPEST)
    alpha = values[-1:][None] if image.has_alpha else None
    rgb = (values[:-1] if image.has_alpha else values)[None].expand(-1, 3, -1, -1)
    if alpha is not None:
        rgb = _filled(rgb, alpha > 0)
    return rgb, Rest(image.channels < 3, True, alpha, info)


def _turned(array: np.ndarray, orientation: object) -> np.ndarray:
    """(H, W, C) as EXIF's orientation means it."""
    if orientation in _ON_THEIR_SIDE:
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def join(rgb: Tensor, rest: Rest) -> Image.Image:
    """`join_deep`, where a Pillow image is expected: colours of 16 bits are rounded to 8."""
    joined = join_deep(rgb, rest)
    return joined.eight_bits() if isinstance(joined, DeepImage) else joined


def join_deep(rgb: Tensor, rest: Rest) -> Image.Image | DeepImage:
    """RGB (3, H, W) in [0, 1] and the rest -> an image of the family it came from.

    The metadata are the source's, its DPI too: prints grow as the image does.
    """
    alpha = rest.alpha
    if rest.grey:
        rgb = rgb.mean(dim=0, keepdim=True)
    planes = [*rgb, *(() if alpha is None else alpha[0].to(rgb))]
    if rest.deep and len(planes) > 1:
        return DeepImage(_values(planes, DEEPEST), dict(rest.info))
    image = _image(planes, DEEPEST if rest.deep else 255)
    image.info.update(rest.info)
    return image


def enlarged(rest: Rest, scale: int) -> Rest:
    """The rest of an image `scale` times as large: alpha is interpolated beside the colours."""
    if rest.alpha is None:
        return rest
    return replace(rest, alpha=enlarge(rest.alpha, scale).clamp(0, 1))


def to_tensor(image: Image.Image) -> Tensor:
    """Any Pillow image -> RGB (1, 3, H, W) in [0, 1]."""
    return split(image)[0]


def to_image(image: Tensor) -> Image.Image:
    """RGB, grey or RGBA (C, H, W) in [0, 1] -> an 8-bit Pillow image, rounded."""
    return _image(list(image))


def eight_bits(image: Image.Image) -> Image.Image:
    """Greyscale of 16 bits or floating point in [0, 1] -> 8 bits, rounded, metadata kept."""
    smaller = _image(list(_deep(image)[0]))
    smaller.info.update(image.info)
    return smaller


def _tensor(image: Image.Image) -> Tensor:
    array = torch.from_numpy(np.array(image))
    array = array.unsqueeze(-1) if array.ndim == 2 else array
    return array.permute(2, 0, 1).unsqueeze(0).float().div(255)


def _deep(image: Image.Image) -> Tensor:
    """Greyscale of more than 8 bits -> (1, 1, H, W) in [0, 1]."""
    values: np.ndarray = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if image.mode != "F":
        if low < 0 or high > DEEPEST:
            raise ImageError(
                f"the image holds integers of {low:.0f} to {high:.0f}: bring them into 0 to "
                f"{DEEPEST} first"
            )
        values /= DEEPEST
    elif not (low >= -_NEAR and high <= 1 + _NEAR):
        raise ImageError(
            f"the image holds floating-point values of {low:.6g} to {high:.6g}: bring them into "
            "0 to 1 first"
        )
    return torch.from_numpy(values).clamp_(0, 1)[None, None]


def _image(planes: Sequence[Tensor], top: int = 255) -> Image.Image:
    array = _values(planes, top)
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def _values(planes: Sequence[Tensor], top: int) -> np.ndarray:
    """Planes (H, W) in [0, 1] -> (H, W, C) integers from 0 to `top`, rounded, strip by strip."""
    height, width = planes[0].shape
    out = np.empty((height, width, len(planes)), np.uint8 if top == 255 else np.uint16)
    step = max(1, _STRIP // width)
    for channel, plane in enumerate(planes):
        for start in range(0, height, step):
            strip = plane[start : start + step].detach().float().clamp(0, 1).mul_(top).round_()
            out[start : start + step, :, channel] = strip.cpu().numpy()
    return out


def _filled(rgb: Tensor, known: Tensor) -> Tensor:
    """Colours (N, 3, H, W) where `known` (N, 1, H, W), elsewhere those of known pixels around.

    Push and pull (Gortler et al. 1996, "The Lumigraph"): means of ever larger blocks, taken from
    the finest level that knows any colour. Without any known pixel the colours stay.
    """
    if known.all() or not known.any():
        return rgb
    weight = known.to(rgb)
    share = F.avg_pool2d(weight, 2, ceil_mode=True)
    mean = F.avg_pool2d(rgb * weight, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = _filled(mean, share > 0)
    around = F.interpolate(coarse, size=rgb.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(known, rgb, around)


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """CMYK through its own inks' profile where that is usable, or LAB -> sRGB."""
    screen = ImageCms.createProfile("sRGB")
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, lab, screen, outputMode="RGB")  # type: ignore[return-value]
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        return ImageCms.profileToProfile(image, inks, screen, outputMode="RGB")  # type: ignore[return-value]
    except (ImageCms.PyCMSError, OSError):  # no profile, a broken one, or one of other colours
        return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a hostile EXIF block makes Pillow raise nearly anything
        return image
