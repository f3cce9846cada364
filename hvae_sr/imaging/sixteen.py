"""PNG and PPM of 16 bits a channel, which Pillow cuts to 8; without torch."""

from pathlib import Path

import numpy as np
from PIL import Image

from hvae_sr.imaging.deep import DEEPEST, MODES

_GREY, _COLOURS = 0, (2, 4, 6)  # colour types of PNG; the last three Pillow cuts


def is_deep(image: Image.Image, path: Path) -> bool:
    """Whether an opened PNG or PPM has 16 bits a channel that Pillow would not keep."""
    if getattr(image, "is_animated", False):
        return False
    if image.format == "PPM":
        return image.mode == "RGB" and any(
            tile.codec_name.startswith("ppm") and tile.args[1] > 255 for tile in image.tile
        )
    if image.format != "PNG":
        return False
    with path.open("rb") as file:
        header = file.read(33)
    keyed = header[25] == _GREY and "transparency" in image.info
    return header[24] == 16 and (header[25] in _COLOURS or keyed)


def read_deep(image: Image.Image, path: Path) -> tuple[str, np.ndarray]:
    """Mode (of `deep.MODES`) and values (H, W, C) of an opened file that `is_deep`."""
    values = _ppm(image, path) if image.format == "PPM" else _png(path)
    return MODES[values.shape[2]], values


def _png(path: Path) -> np.ndarray:
    import imagecodecs

    values = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    return values[..., None] if values.ndim == 2 else values


def _ppm(image: Image.Image, path: Path) -> np.ndarray:
    tile = image.tile[0]
    width, height = image.size
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
