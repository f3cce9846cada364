"""Tensors of images as models and degradations take them."""

from typing import Any

from torch import Tensor

from hvae_sr.errors import shown


def check_images(argument: str, images: Any, channels: int | None = 3) -> None:
    """Refuse what is not a batch of images (N, channels, H, W) of floating-point values.

    Args:
        channels: None for any number.

    Raises:
        TypeError: for what is not a tensor of floating-point values.
        ValueError: for another shape.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{argument} must be a tensor of images, not {shown(images)}")
    if not images.is_floating_point():
        raise TypeError(
            f"{argument} must hold floating-point values in [0, 1], not {images.dtype}: divide "
            "8-bit values by 255"
        )
    wanted = f"(N, {channels or 'C'}, H, W)"
    if images.dim() != 4 or 0 in images.shape or channels not in (None, images.shape[1]):
        raise ValueError(f"{argument} must be {wanted}, not {tuple(images.shape)}")
