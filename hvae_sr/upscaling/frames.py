"""Frames through the model: bytes in, bytes out, the same noise for each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hvae_sr.errors import MovieError
from hvae_sr.imaging.video.reading import Facts, Frame
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.upscaling.sizes import fitted, passes

LARGEST_RESULT = 2**27  # pixels of an upscaled frame: x2 of 8K
LONGEST_SIDE = 2**14  # what the encoders take


class Enlarger:
    """Upscales frames and leaves everything else as it is.

    Args:
        options: keyword arguments of `model.upscale`.
        progress: see `upscale_movie`.

    Raises:
        MovieError: when the result would be too large.
        ImageError: when three passes of the model do not reach `size`.
    """

    def __init__(
        self,
        model: SuperResolutionModel,
        facts: Facts,
        size: tuple[int, int] | None,
        options: dict[str, Any],
        progress: Callable[[int, int | None], None] | None,
    ):
        self.model, self.options = model, options
        self.progress, self.done, self.frames = progress, 0, facts.frames
        self.passes = 1
        if size is not None:
            wanted = fitted(facts.width, facts.height, size)
            self.passes = passes(facts.width, facts.height, wanted, model.scale)
        factor = model.scale**self.passes
        width, height = facts.width * factor, facts.height * factor
        #: (width, height) of the encoded frames, both even
        self.size = (width + width % 2, height + height % 2)
        if size is not None:
            self.size = (max(2, wanted[0] // 2 * 2), max(2, wanted[1] // 2 * 2))
        if width * height > LARGEST_RESULT or max(self.size) > LONGEST_SIDE:
            raise MovieError(
                f"frames of {facts.width}x{facts.height} would become {width}x{height}: at most "
                f"{LARGEST_RESULT} pixels and {LONGEST_SIDE} a side can be encoded"
            )

    def __call__(self, item: Any) -> Any:
        """A `Frame` -> the enlarged one, its odd sides made even; other items come back as such."""
        if not isinstance(item, Frame):
            return item
        pixels = self.upscaled(item.pixels)
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.frames)
        return replace(item, pixels=pixels)

    @torch.inference_mode()
    def upscaled(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, 3) bytes -> (H, W, 3) bytes."""
        # A permuted view: the network gets channels-last memory, which convolutions like.
        picture = torch.from_numpy(pixels).to(self.model.device).permute(2, 0, 1).unsqueeze(0)
        picture = picture.float().div_(255)
        for _ in range(self.passes):
            picture = self.model.upscale(picture, **self.options)
        rounded = picture[0].mul(255).round_().clamp_(0, 255).byte()
        return rounded.permute(1, 2, 0).contiguous().cpu().numpy()
