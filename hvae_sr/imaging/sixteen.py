"""PNG and PPM of 16 bits a channel, which Pillow cuts to 8; without torch."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hvae_sr.imaging.deep import DEEPEST

_GREY, _COLOURS = 0, (2, 4, 6)  # colour types of PNG; the last three Pillow cuts


def deep_reader(image: Image.Image, path: Path) -> Callable[[], np.ndarray] | None:
    """What reads an opened, not yet loaded PNG or PPM as (H, W, C) uint16.

    None where Pillow keeps the file's depth, or nothing does.
    """
    if getattr(image, "is_animated", False):
        return None
    if image.format == "PPM" and image.mode == "RGB":
        for tile in getattr(image, "tile", ()):
            if tile.codec_name.startswith("ppm") and tile.args[1] > 255:
                return partial(_ppm, path, image.size, tile)
    if image.format != "PNG":
        return None
    with path.open("rb") as file:
        header = file.read(33)
    keyed = header[25] == _GREY and "transparency" in image.info
    deep = header[24] == 16 and (header[25] in _COLOURS or keyed)
    return partial(_png, path) if deep else None


def _png(path: Path) -> np.ndarray:
    import imagecodecs

    values = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    return values[..., None] if values.ndim == 2 else values


def _ppm(path: Path, size: tuple[int, int], tile: Any) -> np.ndarray:
    width, height = size
    top = int(tile.args[1])
    if tile.codec_name == "ppm_plain":
        numbers = b"\n".join(
            line.split(b"#")[0] for line in path.read_bytes()[tile.offset :].split(b"\n")
        )
        values = np.array(numbers.split()[: width * height * 3], dtype=np.uint32)
    else:
        count = width * height * 3
        values = np.fromfile(path, ">u2", count, offset=tile.offset).astype(np.uint32)
    values = values.reshape(height, width, 3)
    if values.max() > top:
        raise ValueError("a value beyond the largest")
    return ((values * DEEPEST + top // 2) // top).astype(np.uint16)
