"""Pillow images <-> tensors: every mode an image can have, in one place.

Networks see RGB in [0, 1]; what is not colour (alpha, greyness, 16-bit depth, ICC profile, EXIF)
is set aside by `split` and put back by `join`.
"""

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageOps
from PIL.ExifTags import Base
from torch import Tensor

from hvae_sr.errors import ImageError
from hvae_sr.imaging.metadata import profile_and_size, readable_exif
from hvae_sr.nn.resize import enlarge

_STRAIGHT = {"RGBa": "RGBA", "La": "LA"}
_DEEPEST = 65535


@dataclass(frozen=True)
class Rest:
    """What of a Pillow image is not colour: its mode family, alpha (1, 1, H, W), metadata."""

    grey: bool
    deep: bool
    alpha: Tensor | None
    info: dict[str, Any]


def split(image: Image.Image) -> tuple[Tensor, Rest]:
    """Any Pillow image -> RGB (1, 3, H, W) in [0, 1], upright, and the rest.

    Greyscale is repeated over the three channels; palettes, CMYK (through its ICC profile where
    that is usable) and LAB become RGB. Greyscale of 16 bits or floating point in [0, 1] comes
    back with 16 bits. EXIF orientation is applied and removed. Colours under fully transparent
    pixels, which nobody sees, are filled from the visible ones around them, so that they leave no
    fringe when the image is enlarged.

    Raises:
        ImageError: for an image with no pixel, and for integers that 16 bits cannot hold.
    """
    if 0 in image.size:
        raise ImageError(f"the image is {image.width}x{image.height}: it has no pixel")
    image.load()
    exif = readable_exif(image)
    exif.pop(Base.Orientation, None)
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


def join(rgb: Tensor, rest: Rest) -> Image.Image:
    """RGB (3, H, W) in [0, 1] and the rest -> a Pillow image of the family it came from.

    The metadata are the source's, its DPI too: prints grow as the image does.
    """
    alpha = rest.alpha
    if rest.grey:
        rgb = rgb.mean(dim=0, keepdim=True)
    if rest.deep:
        values = rgb[0].clamp(0, 1).mul(_DEEPEST).round().cpu().numpy().astype(np.uint16)
        image = Image.fromarray(values)
    else:
        planes = rgb if alpha is None else torch.cat([rgb, alpha[0].to(rgb)])
        image = _image(planes)
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
    return _image(image)


def eight_bits(image: Image.Image) -> Image.Image:
    """Greyscale of 16 bits or floating point in [0, 1] -> 8 bits, rounded, metadata kept."""
    smaller = _image(_deep(image)[0])
    smaller.info.update(image.info)
    return smaller


def _tensor(image: Image.Image) -> Tensor:
    array = torch.from_numpy(np.array(image))
    array = array.unsqueeze(-1) if array.ndim == 2 else array
    return array.permute(2, 0, 1).unsqueeze(0).float().div(255)


def _deep(image: Image.Image) -> Tensor:
    """Greyscale of more than 8 bits -> (1, 1, H, W) in [0, 1]."""
    values: np.ndarray = np.asarray(image).astype(np.float32)
    if image.mode != "F":
        if values.min() < 0 or values.max() > _DEEPEST:
            raise ImageError(
                f"the image holds integers of {values.min():.0f} to {values.max():.0f}: bring "
                f"them into 0 to {_DEEPEST} first"
            )
        values = values / _DEEPEST
    values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    return torch.from_numpy(values).clamp(0, 1)[None, None]


def _image(image: Tensor) -> Image.Image:
    values = image.detach().clamp(0, 1).mul(255).round().byte().cpu()
    array = values.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


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
