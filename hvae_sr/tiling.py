"""Large pictures in windows: how they are cut, what memory they need, how they are put together.

A window is a core, a ramp on which neighbours are blended, and a halo: context that the network
sees and whose output is thrown away. Weights are positive, separable, and add up to one along
each axis, so nothing has to be divided afterwards. At the picture's own border a window simply
ends, as the whole picture does.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from hvae_sr.errors import PictureError

RAMP = 8  # LR pixels on which neighbouring tiles are blended
LARGEST_CONTEXT = 64  # LR pixels; what lies further away moves no 8-bit value in practice
LARGEST_TILE = 512  # LR pixels a side; larger ones gain nothing, and caches lose
SMALL = 2**14  # LR pixels x answers that any machine takes in one pass
SHARE = 0.5  # of the memory there is
OVERHEAD = 4.0  # peak memory of a pass in units of its largest module's input and output
STRIP = 8  # LR pixels across the strips that networks are measured on


@dataclass(frozen=True)
class Window:
    """A stretch of one axis of a picture, in LR pixels.

    Args:
        start, stop: what the network sees.
        first, last: what is kept of its output, blends included.
        before, after: pixels of the blend with the previous and the next window.
    """

    start: int
    stop: int
    first: int
    last: int
    before: int = 0
    after: int = 0

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def seen(self) -> slice:
        return slice(self.start, self.stop)

    def kept(self, scale: int) -> slice:
        """The kept pixels, counted within the window's own output."""
        return slice((self.first - self.start) * scale, (self.last - self.start) * scale)

    def target(self, scale: int) -> slice:
        """The kept pixels, counted within the whole output."""
        return slice(self.first * scale, self.last * scale)

    def weights(self, scale: int) -> Tensor:
        """Blending weights of the kept output pixels: 1 in the core, linear on the ramps."""
        weights = torch.ones((self.last - self.first) * scale)
        if self.before:
            weights[: self.before * scale] = _rise(self.before * scale)
        if self.after:
            weights[-self.after * scale :] = 1 - _rise(self.after * scale)
        return weights


def _rise(pixels: int) -> Tensor:
    return (torch.arange(pixels) + 0.5) / pixels


def smallest_tile(halo: int, ramp: int = RAMP, multiple: int = 1) -> int:
    """The least side of a tile, LR pixels, whose two ramps do not meet."""
    return _up(2 * halo + ramp, multiple) + _up(2 * ramp + 2, multiple)


def windows(length: int, tile: int, halo: int, ramp: int = RAMP, multiple: int = 1) -> list[Window]:
    """Cut an axis into windows of equal size, at most `tile`, evenly spread.

    Args:
        length: of the axis, LR pixels, a multiple of `multiple`.
        tile: the largest window, halo included.
        halo: context on each inner side.
        ramp: pixels on which neighbours overlap for blending.
        multiple: what sizes and positions are multiples of.

    Raises:
        ValueError: when the tile is too small for halo and ramps.
    """
    if length <= tile:
        return [Window(0, length, 0, length)]
    if tile < smallest_tile(halo, ramp, multiple):
        raise ValueError(
            f"a tile of {tile} pixels is too small for this model: "
            f"use at least {smallest_tile(halo, ramp, multiple)}"
        )
    whole, overlap = length // multiple, _up(2 * halo + ramp, multiple) // multiple
    count = -(-(whole - overlap) // (tile // multiple - overlap))
    size = -(-(whole - overlap) // count) + overlap
    starts = [multiple * (i * (whole - size) // (count - 1)) for i in range(count)]
    size *= multiple
    # Blends sit in the middle of what neighbours share, so that both have at least the halo.
    blends = [
        start + (size - (start - previous) - ramp) // 2 for previous, start in pairwise(starts)
    ]
    firsts, lasts = [0, *blends], [*(blend + ramp for blend in blends), length]
    return [
        Window(start, start + size, first, last, ramp * (i > 0), ramp * (i < count - 1))
        for i, (start, first, last) in enumerate(zip(starts, firsts, lasts, strict=True))
    ]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


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


@dataclass(frozen=True)
class Needs:
    """What a network needs of its surroundings.

    Args:
        context: radius of its receptive field in LR pixels, at most `LARGEST_CONTEXT`.
        memory: bytes of a forward pass per LR pixel, roughly.
    """

    context: int
    memory: float


@torch.inference_mode()
def measure(model: nn.Module, multiple: int = 1) -> Needs:
    """Measure a network LR (N, 3, h, w) -> HR on narrow strips, in a fraction of a second.

    The receptive field is exact: one input pixel is made NaN, and its output tells how far it
    reaches, through rounding and weights that are zero as well, which hide it from gradients.
    """
    # A copy on the CPU: other devices' convolutions smear NaN over whole blocks, and another
    # thread may be using the model.
    network = copy.deepcopy(model).cpu().float().eval()
    across = _up(STRIP, multiple)
    length = _up(2 * LARGEST_CONTEXT + across, multiple)
    reach = max(_reach(network, size, multiple) for size in ((across, length), (length, across)))
    return Needs(min(reach, LARGEST_CONTEXT), OVERHEAD * _traffic(network, across))


def _reach(network: nn.Module, size: tuple[int, int], multiple: int) -> int:
    """The largest distance that an input pixel acts over, along the longer side, in LR pixels."""
    axis = int(size[1] > size[0])
    first = size[axis] // 2 // multiple * multiple
    last = first + multiple - 1
    lr = torch.full((1, 3, *size), 0.5)
    lr.narrow(2 + axis, first, multiple).fill_(torch.nan)
    hr = network(lr)
    touched = hr.isnan().any(dim=3 - axis).any(dim=1)[0].nonzero() // (hr.shape[-1] // size[1])
    return int(max(last - touched.min(), touched.max() - first)) if len(touched) else 0


def _traffic(network: nn.Module, side: int) -> float:
    """Bytes per LR pixel of the largest input and output of any module without children."""
    largest = 0

    def note(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        tensors = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        largest = max(largest, sum(t.numel() * t.element_size() for t in tensors))

    leaves = [module for module in network.modules() if not list(module.children())]
    for leaf in leaves:
        leaf.register_forward_hook(note)
    hr = network(torch.full((1, 3, side, side), 0.5))
    return max(largest, 2 * hr.numel() * hr.element_size()) / side**2


def available(device: torch.device) -> int:
    """Bytes that a pass on this device could take now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)


def affordable(needs: Needs, device: torch.device) -> int:
    """LR pixels x answers of one pass, as much memory as there is, at most `LARGEST_TILE`^2."""
    return min(LARGEST_TILE**2, max(1, int(SHARE * available(device) / needs.memory)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    texts = ("can't allocate memory", "DefaultCPUAllocator", "not enough memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


@dataclass(frozen=True)
class Part:
    """What one pass takes of a batch of pictures.

    Args:
        pictures: of the batch.
        samples: how many answers to each of them.
        rows: the same answers within the batch of pictures x samples.
        vertical, horizontal: the window, in LR pixels.
    """

    pictures: slice
    samples: int
    rows: slice
    vertical: slice
    horizontal: slice


@dataclass(frozen=True)
class Plan:
    """How a batch is cut: LR pixels a side of a tile, and answers in one pass."""

    tile: int
    answers: int


def upscaled(
    run: Callable[[Part], Tensor],
    lr: Tensor,
    *,
    scale: int,
    samples: int,
    tile: int | None,
    multiple: int,
    needs: Callable[[], Needs],
) -> Tensor:
    """Answer every picture of a batch in as few passes as memory allows.

    Args:
        run: one pass: its answers (rows, 3, window * scale).
        lr: (N, 3, h, w), sides a multiple of `multiple`.
        scale: HR pixels per LR pixel along each side.
        samples: answers to each picture.
        tile: LR pixels a side of a tile, or None to choose it from the memory there is.
        multiple: what windows must be a multiple of.
        needs: measures the network; called only when something has to be cut.

    Returns:
        (N, samples, 3, h * scale, w * scale).

    Raises:
        ValueError: when `tile` is too small for the network.
        PictureError: when memory runs out even with the smallest tile.
    """
    plan = _plan(lr, samples, tile, multiple, needs)
    while (answers := _attempt(run, lr, scale, samples, multiple, plan, needs)) is None:
        if lr.device.type == "cuda":
            torch.cuda.empty_cache()
        plan = _smaller(plan, max(lr.shape[-2:]), smallest_tile(needs().context, RAMP, multiple))
    return answers.unflatten(0, (-1, samples))


def _plan(
    lr: Tensor, samples: int, tile: int | None, multiple: int, needs: Callable[[], Needs]
) -> Plan:
    count, _, height, width = lr.shape
    answers = count * samples
    if tile is None and answers * height * width <= SMALL:
        return Plan(max(height, width), answers)
    least = smallest_tile(needs().context, RAMP, multiple)
    pixels = affordable(needs(), lr.device)
    if tile is None:
        tile = max(least, math.isqrt(pixels))
    elif tile < least:
        raise ValueError(
            f"a tile of {tile} pixels is too small for this model: use at least {least}"
        )
    window = min(tile, height) * min(tile, width)
    return Plan(tile, min(answers, max(1, pixels // window)))


def _smaller(plan: Plan, longest: int, least: int) -> Plan:
    """What to try next when memory ran out: fewer answers at once, then smaller tiles."""
    if plan.answers > 1:
        return Plan(plan.tile, plan.answers // 2)
    tile = min(plan.tile, longest)
    if tile <= least:
        raise PictureError(
            f"memory ran out even with tiles of {tile} pixels: close other programs, or use a "
            "smaller model or another device"
        )
    return Plan(max(least, tile // 2), 1)


def _attempt(
    run: Callable[[Part], Tensor],
    lr: Tensor,
    scale: int,
    samples: int,
    multiple: int,
    plan: Plan,
    needs: Callable[[], Needs],
) -> Tensor | None:
    """All answers (N * samples, 3, H, W) by one plan, or None when memory ran out."""
    count, _, height, width = lr.shape
    cut = max(height, width) > plan.tile
    halo = needs().context if cut else 0
    rows, columns = (windows(n, plan.tile, halo, RAMP, multiple) for n in (height, width))
    try:
        out = lr.new_zeros(count * samples, 3, height * scale, width * scale)
        for pictures, each, answers in _batches(count, samples, plan.answers):

            def draw(
                row: Window,
                column: Window,
                pictures: slice = pictures,
                each: int = each,
                answers: slice = answers,
            ) -> Tensor:
                return run(Part(pictures, each, answers, row.seen, column.seen))

            blend(draw, rows, columns, out[answers], scale)
        return out
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _batches(count: int, samples: int, most: int) -> Iterator[tuple[slice, int, slice]]:
    """Split pictures x samples into at most `most` answers: pictures, samples of each, answers."""
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
