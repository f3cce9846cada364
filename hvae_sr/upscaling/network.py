"""One batch of LR images through a network: padded, in tiles, in half precision where it holds."""

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hvae_sr.errors import ModelError
from hvae_sr.nn.latents import Decode
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import reflect
from hvae_sr.upscaling import tiling
from hvae_sr.upscaling.noise_field import NoiseField
from hvae_sr.upscaling.options import UpscaleOptions

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

# (LR tile, samples, temperature, noise, decode) -> (N, samples, channels, H, W), see `model.draw`
Draw = Callable[[Tensor, int, float, Noise, Decode], Tensor]


def run_in_tiles(
    model: "SuperResolutionModel",
    lr: Tensor,
    options: UpscaleOptions,
    draw: Draw,
    channels: int,
    progress: tiling.Progress | None = None,
) -> Tensor:
    """LR (N, 3, h, w) -> (N, S, channels, H, W); tiles shrink until they fit into memory.

    Args:
        options: with a seed.
        draw: of the model.
        channels: that `draw` gives.
        progress: called after each tile with the tiles done and how many there are.

    Raises:
        ValueError: for a model that does not upscale, and a tile too small for it.
        ImageError: when not even the smallest tile fits in memory.
        ModelError: when the network gives values that are not finite.
    """
    if model.degradation is None:
        raise ValueError("a model of LR images has nothing to upscale")
    assert options.seed is not None
    multiple = model.size_multiple
    height, width = lr.shape[-2:]
    padding = (0, -width % multiple, 0, -height % multiple)
    padded = reflect(lr, padding) if any(padding) else lr
    rows = lr.shape[0] * options.num_samples
    field = NoiseField(options.seed, padded.shape[-2], padded.shape[-1], rows, multiple)
    precisions = dict.fromkeys((precision(model, options), _own_precision(model)))
    outputs = tiling.upscaled(
        lambda part: _pass(padded, part, options, field, draw, precisions),
        padded,
        scale=model.scale,
        samples=options.num_samples,
        tile=None if options.tile == "auto" else options.tile,
        multiple=multiple,
        footprint=lambda: model.footprint,
        channels=channels,
        progress=progress,
    )
    return outputs[..., : height * model.scale, : width * model.scale]


def precision(model: "SuperResolutionModel", options: UpscaleOptions) -> torch.dtype:
    """What the network computes in: as the options say, or in its weights' own half precision."""
    own = _own_precision(model)
    return options.torch_dtype if own == torch.float32 else own


def _own_precision(model: "SuperResolutionModel") -> torch.dtype:
    return next(model.parameters()).dtype


def _pass(
    lr: Tensor,
    part: tiling.Part,
    options: UpscaleOptions,
    field: NoiseField,
    draw: Draw,
    precisions: Iterable[torch.dtype],
) -> Tensor:
    """One pass of the network over a part of a batch: (outputs, channels, H, W), finite.

    Args:
        precisions: to try, one after the other while values overflow.
    """
    tile = lr[part.images, :, part.vertical, part.horizontal]
    overflowed: torch.dtype | None = None
    for dtype in precisions:
        if overflowed is not None:
            warnings.warn(
                f"{overflowed} overflowed in a tile: it is redone in {dtype}", stacklevel=2
            )
        half = dtype != torch.float32  # else switch off what the caller may have switched on
        noise = field.window(part.rows, part.vertical, part.horizontal)
        with torch.autocast(lr.device.type, dtype=dtype if half else None, enabled=half):
            outputs = draw(tile, part.samples, options.used_temperature, noise, options.decode)
        if outputs.sum(dtype=torch.float32).isfinite():
            return outputs.flatten(0, 1)
        overflowed = dtype
    raise ModelError("the network gave values that are not finite: check image and weights")
