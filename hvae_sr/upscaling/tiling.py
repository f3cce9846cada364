"""Large images in tiles: what memory they need, how they are run and put together.

A tile is a window of each axis, see `hvae_sr.nn.windows`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor

from hvae_sr.errors import ImageError
from hvae_sr.nn.footprint import Footprint
from hvae_sr.nn.windows import RAMP, Window, smallest_tile, windows

LARGEST_TILE = 512  # LR pixels a side; larger ones gain nothing, and caches lose
SMALL = 2**14  # LR pixels x outputs that any machine takes in one pass
SHARE = 0.5  # of the memory there is


def blend(
    draw: Callable[[Window, Window], Tensor],
    rows: Sequence[Window],
    columns: Sequence[Window],
    out: Tensor,
    scale: int,
) -> None:
    """Add every tile, weighted, to `out`.

    Args:
        draw: the output of one tile, (..., row.size * scale, column.size * scale).
        rows, columns: what `windows` made of both axes.
        out: (..., H, W), zeros at first.
        scale: output pixels per LR pixel along each side.
    """
    for row in rows:
        down = row.weights(scale).to(out)[:, None]
        for column in columns:
            weights = down * column.weights(scale).to(out)
            kept = draw(row, column)[..., row.kept(scale), column.kept(scale)]
            out[..., row.target(scale), column.target(scale)].addcmul_(kept.to(out), weights)


def available(device: torch.device) -> int:
    """Bytes that a pass on this device could take now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)


def affordable(footprint: Footprint, device: torch.device) -> int:
    """LR pixels x outputs of one pass, as much memory as there is, at most `LARGEST_TILE`^2."""
    return min(LARGEST_TILE**2, max(1, int(SHARE * available(device) / footprint.memory)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    texts = ("can't allocate memory", "DefaultCPUAllocator", "not enough memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


Progress = Callable[[int, int], None]  # steps done, and how many there are


@dataclass(frozen=True)
class Part:
    """What one pass takes of a batch of images.

    Args:
        images: of the batch.
        samples: how many outputs of each of them.
        rows: the same outputs within the batch of images x samples.
        vertical, horizontal: the window, in LR pixels.
    """

    images: slice
    samples: int
    rows: slice
    vertical: slice
    horizontal: slice


@dataclass(frozen=True)
class Plan:
    """How a batch is cut: LR pixels a side of a tile, and outputs in one pass."""

    tile: int
    outputs: int


def upscaled(
    run: Callable[[Part], Tensor],
    lr: Tensor,
    *,
    scale: int,
    samples: int,
    tile: int | None,
    multiple: int,
    footprint: Callable[[], Footprint],
    channels: int = 3,
    progress: Progress | None = None,
) -> Tensor:
    """Enlarge every image of a batch in as few passes as memory allows.

    Args:
        run: one pass: its outputs (rows, channels, window * scale).
        lr: (N, 3, h, w), sides a multiple of `multiple`.
        scale: HR pixels per LR pixel along each side.
        samples: outputs of each image.
        tile: LR pixels a side of a tile, or None to choose it from the memory there is.
        multiple: what windows must be a multiple of.
        footprint: measures the network; called only when something has to be cut.
        progress: called after each pass with the passes done and how many there are; where memory
            runs out, it begins again.

    Returns:
        (N, samples, channels, h * scale, w * scale).

    Raises:
        ValueError: when `tile` is too small for the network.
        ImageError: when memory runs out even with the smallest tile.
    """
    plan = _plan(lr, samples, tile, multiple, footprint)
    while (
        outputs := _attempt(run, lr, channels, scale, samples, multiple, plan, footprint, progress)
    ) is None:
        if lr.device.type == "cuda":
            torch.cuda.empty_cache()
        plan = _smaller(
            plan, max(lr.shape[-2:]), smallest_tile(footprint().receptive_field, RAMP, multiple)
        )
    return outputs.unflatten(0, (-1, samples))


def _plan(
    lr: Tensor, samples: int, tile: int | None, multiple: int, footprint: Callable[[], Footprint]
) -> Plan:
    count, _, height, width = lr.shape
    outputs = count * samples
    if tile is None and outputs * height * width <= SMALL:
        return Plan(max(height, width), outputs)
    least = smallest_tile(footprint().receptive_field, RAMP, multiple)
    pixels = affordable(footprint(), lr.device)
    if tile is None:
        tile = max(least, math.isqrt(pixels))
    elif tile < least:
        raise ValueError(
            f"a tile of {tile} pixels is too small for this model: use at least {least}"
        )
    window = min(tile, height) * min(tile, width)
    return Plan(tile, min(outputs, max(1, pixels // window)))


def _smaller(plan: Plan, longest: int, least: int) -> Plan:
    """What to try next when memory ran out: fewer outputs at once, then smaller tiles."""
    if plan.outputs > 1:
        return Plan(plan.tile, plan.outputs // 2)
    tile = min(plan.tile, longest)
    if tile <= least:
        raise ImageError(
            f"memory ran out even with tiles of {tile} pixels: close other programs, or use a "
            "smaller model or another device"
        )
    return Plan(max(least, tile // 2), 1)


def _attempt(
    run: Callable[[Part], Tensor],
    lr: Tensor,
    channels: int,
    scale: int,
    samples: int,
    multiple: int,
    plan: Plan,
    footprint: Callable[[], Footprint],
    progress: Progress | None,
) -> Tensor | None:
    """All outputs (N * samples, channels, H, W) by one plan, or None when memory ran out."""
    count, _, height, width = lr.shape
    cut = max(height, width) > plan.tile
    halo = footprint().receptive_field if cut else 0
    rows, columns = (windows(n, plan.tile, halo, RAMP, multiple) for n in (height, width))
    batches = list(_batches(count, samples, plan.outputs))
    total, done = len(batches) * len(rows) * len(columns), 0
    try:
        out = lr.new_zeros(count * samples, channels, height * scale, width * scale)
        for images, each, outputs in batches:

            def draw(
                row: Window,
                column: Window,
                images: slice = images,
                each: int = each,
                outputs: slice = outputs,
            ) -> Tensor:
                nonlocal done
                found = run(Part(images, each, outputs, row.seen, column.seen))
                done += 1
                if progress is not None:
                    progress(done, total)
                return found

            blend(draw, rows, columns, out[outputs], scale)
        return out
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _batches(count: int, samples: int, most: int) -> Iterator[tuple[slice, int, slice]]:
    """Split images x samples into at most `most` outputs: images, samples of each, outputs."""
    if most >= samples:
        step = most // samples
        for first in range(0, count, step):
            last = min(count, first + step)
            yield slice(first, last), samples, slice(first * samples, last * samples)
        return
    for index, first in product(range(count), range(0, samples, most)):
        last = min(samples, first + most)
        start = index * samples
        yield slice(index, index + 1), last - first, slice(start + first, start + last)
