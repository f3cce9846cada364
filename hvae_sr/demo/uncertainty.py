"""How sure a model is of each pixel: the standard deviation of its samples, in colour."""

import numpy as np
from PIL import Image
from torch import Tensor

# Eight stops of matplotlib's "inferno": even in brightness, readable without colour vision.
STOPS = (
    (0, 0, 4),
    (40, 11, 83),
    (101, 21, 110),
    (159, 42, 99),
    (212, 72, 66),
    (245, 125, 21),
    (250, 193, 39),
    (252, 255, 164),
)


def pixel_std(std: Tensor) -> np.ndarray:
    """Standard deviation of each channel (1, 3, H, W) in [0, 1] -> of the pixel (H, W).

    In units of 1 / 255; the variance is averaged over the colour channels.
    """
    return std[0].square().mean(dim=0).sqrt().mul(255).numpy()


def coloured(values: np.ndarray, top: float) -> Image.Image:
    """(H, W) in [0, top] -> colours from the first to the last stop; `top` must be positive."""
    position = np.clip(values / top, 0, 1) * (len(STOPS) - 1)
    channels = [
        np.interp(position, range(len(STOPS)), levels) for levels in zip(*STOPS, strict=True)
    ]
    return Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))
