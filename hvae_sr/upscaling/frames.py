"""Frames through the model: bytes in, bytes out, the same noise for each."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hvae_sr.errors import MovieError
from hvae_sr.imaging.video.decoding import Frame
from hvae_sr.imaging.video.reading import Facts
from hvae_sr.upscaling.options import UpscaleOptions
from hvae_sr.upscaling.sizes import fitted, passes
from hvae_sr.upscaling.upscaler import Upscaler

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

LARGEST_RESULT = 2**27  # pixels of an upscaled frame: x2 of 8K
LONGEST_SIDE = 2**14  # what the encoders take


class Enlarger:
    """Upscales frames and leaves everything else as it is.

    Args:
        options: with a seed, the same for every frame; frames reach `size` in the encoder.
        progress: see `upscale_movie`.

    Raises:
        MovieError: when the result would be too large.
        ImageError: when three passes of the model do not reach `size`.
    """

    def __init__(
        self,
        model: "SuperResolutionModel",
        facts: Facts,
        options: UpscaleOptions,
        progress: Callable[[int, int | None], None] | None,
    ):
        self.upscaler = Upscaler(model, replace(options, size=None))
        self.progress, self.done, self.frames = progress, 0, facts.frames
        #: passes of the model, and (width, height) of the encoded frames, both even
        self.passes, self.size = _passes_and_size(facts, model.scale, options.size)

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
        device = self.upscaler.model.device
        image = torch.from_numpy(pixels).to(device).permute(2, 0, 1).unsqueeze(0)
        image = image.float().div_(255)
        for _ in range(self.passes):
            image = self.upscaler.images(image)[:, 0]
        rounded = image[0].mul(255).round_().clamp_(0, 255).byte()
        return rounded.permute(1, 2, 0).contiguous().cpu().numpy()


def _passes_and_size(
    facts: Facts, scale: int, size: tuple[int, int] | None
) -> tuple[int, tuple[int, int]]:
    """How often the model runs, and the (width, height) that the encoder makes of its result.

    Raises:
        MovieError, ImageError: see `Enlarger`.
    """
    needed = 1
    if size is not None:
        size = fitted(facts.width, facts.height, size)
        needed = passes(facts.width, facts.height, size, scale)
    width, height = facts.width * scale**needed, facts.height * scale**needed
    even = (width + width % 2, height + height % 2)
    if size is not None:
        even = (max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2))
    if width * height > LARGEST_RESULT or max(even) > LONGEST_SIDE:
        raise MovieError(
            f"frames of {facts.width}x{facts.height} would become {width}x{height}: at most "
            f"{LARGEST_RESULT} pixels and {LONGEST_SIDE} a side can be encoded"
        )
    return needed, even
