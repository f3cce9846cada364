"""Images of 16 bits a channel in colour or with transparency, which no mode of Pillow holds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

DEEPEST = 65535
MODES = {1: "I;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}  # channels -> as `Decoded` names them


@dataclass
class DeepImage:
    """An image of 16 bits a channel.

    Args:
        array: (H, W, C) uint16: grey, grey and alpha, RGB, or RGB and alpha; alpha is straight.
        info: what Pillow's `info` would hold: `icc_profile`, `exif`, `xmp`, `dpi`.
        format: of the file that it was read from, as Pillow names it.
    """

    array: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)
    format: str | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 3 or self.array.dtype != np.uint16 or self.channels not in MODES:
            raise ValueError(
                f"expected (H, W, 1 to 4) of uint16, got {self.array.shape} of {self.array.dtype}"
            )

    @property
    def width(self) -> int:
        return int(self.array.shape[1])

    @property
    def height(self) -> int:
        return int(self.array.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.width, self.height

    @property
    def channels(self) -> int:
        return int(self.array.shape[2])

    @property
    def mode(self) -> str:
        return MODES[self.channels]

    @property
    def has_alpha(self) -> bool:
        return self.channels in (2, 4)

    @property
    def has_transparency_data(self) -> bool:
        """As Pillow's attribute of this name."""
        return self.has_alpha

    def without_alpha(self) -> "DeepImage":
        return DeepImage(self.array[..., : self.channels - 1], dict(self.info), self.format)

    def eight_bits(self) -> Image.Image:
        """The Pillow image of 8 bits a channel, rounded, with the same metadata."""
        values = np.empty(self.array.shape, np.uint8)
        for row, out in zip(self.array, values, strict=True):  # no temporary of the whole image
            out[...] = (row.astype(np.uint32) + 128) // 257
        image = Image.fromarray(values[..., 0] if self.channels == 1 else values)
        image.info.update(self.info)
        image.format = self.format
        return image

    def resize(self, size: tuple[int, int], resample: Image.Resampling) -> "DeepImage":
        """The image resampled to (width, height); colours are weighted by their alpha."""
        values = self.array.astype(np.float32)
        if self.has_alpha:
            values[..., :-1] *= values[..., -1:] / DEEPEST
        planes = [
            np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, resample))
            for plane in np.moveaxis(values, -1, 0)
        ]
        resized = np.stack(planes, axis=-1)
        if self.has_alpha:
            resized[..., :-1] *= DEEPEST / np.maximum(resized[..., -1:], 1)
        rounded = resized.clip(0, DEEPEST).round().astype(np.uint16)
        return DeepImage(rounded, dict(self.info), self.format)
