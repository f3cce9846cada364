"""Pillow pictures <-> tensors: every mode a picture can have, in one place.

Networks see RGB in [0, 1]; what is not colour (alpha, greyness, 16-bit depth, ICC profile) is
set aside by `split` and put back by `join`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from hvae_sr.degradation import enlarge

KEPT = ("icc_profile", "dpi", "exif")


@dataclass(frozen=True)
class Rest:
    """What of a Pillow picture is not colour: its mode family, alpha (1, 1, H, W), metadata."""

    grey: bool
    deep: bool
    alpha: Tensor | None
    info: dict[str, Any]


def split(image: Image.Image) -> tuple[Tensor, Rest]:
    """Any Pillow picture -> RGB (1, 3, H, W) in [0, 1], upright, and the rest.

    Greyscale is repeated over the three channels, palette and CMYK become RGB, 16-bit greyscale
    keeps its depth, EXIF orientation is applied.
    """
    image = ImageOps.exif_transpose(image)
    info = {key: image.info[key] for key in KEPT if key in image.info}
    if image.mode == "CMYK":
        info.pop("icc_profile", None)  # it describes inks, not the RGB that leaves here
    if image.mode.startswith("I") or image.mode == "F":
        grey = _deep(image)
        return grey.expand(1, 3, -1, -1), Rest(True, image.mode != "F", None, info)
    grey_only = image.mode in ("1", "L", "LA")
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        *colours, alpha = image.convert("RGBA").split()
        rgb = Image.merge("RGB", colours)
        return _tensor(rgb), Rest(grey_only, False, _tensor(alpha), info)
    return _tensor(image.convert("RGB")), Rest(grey_only, False, None, info)


def join(rgb: Tensor, rest: Rest) -> Image.Image:
    """RGB (3, H, W) in [0, 1] and the rest -> a Pillow picture of the family it came from."""
    alpha = rest.alpha
    if rest.grey:
        rgb = rgb.mean(dim=0, keepdim=True)
    if rest.deep:
        values = rgb[0].clamp(0, 1).mul(65535).round().cpu().numpy().astype(np.uint16)
        image = Image.fromarray(values)
    else:
        planes = rgb if alpha is None else torch.cat([rgb, alpha[0].to(rgb)])
        image = _image(planes)
    image.info.update(rest.info)
    return image


def enlarged(rest: Rest, scale: int) -> Rest:
    """The rest of a picture `scale` times as large: alpha is interpolated beside the colours."""
    if rest.alpha is None:
        return rest
    return replace(rest, alpha=enlarge(rest.alpha, scale).clamp(0, 1))


def to_tensor(image: Image.Image) -> Tensor:
    """Any Pillow picture -> RGB (1, 3, H, W) in [0, 1]."""
    return split(image)[0]


def to_image(picture: Tensor) -> Image.Image:
    """RGB, grey or RGBA (C, H, W) in [0, 1] -> an 8-bit Pillow picture, rounded."""
    return _image(picture)


def _tensor(image: Image.Image) -> Tensor:
    array = torch.from_numpy(np.array(image))
    array = array.unsqueeze(-1) if array.ndim == 2 else array
    return array.permute(2, 0, 1).unsqueeze(0).float().div(255)


def _deep(image: Image.Image) -> Tensor:
    """Greyscale of more than 8 bits -> (1, 1, H, W) in [0, 1]."""
    values = np.asarray(image).astype(np.float32)
    top = 1.0 if image.mode == "F" else 65535.0
    values = np.nan_to_num(values, nan=0.0, posinf=top, neginf=0.0)
    return torch.from_numpy(values / top).clamp(0, 1)[None, None]


def _image(picture: Tensor) -> Image.Image:
    values = picture.detach().clamp(0, 1).mul(255).round().byte().cpu()
    array = values.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
