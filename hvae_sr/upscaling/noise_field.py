"""Noise that belongs to places of an image, whatever tiles look at them."""

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hvae_sr.nn.noise import Noise, seeded

NOISE_BLOCK = 64  # LR pixels a side of a block with its own generator
NOISE_PART = 2**17  # LR pixels x outputs that share a generator


class NoiseField:
    """Standard normal draws that belong to places of an image, whatever windows look at them.

    The LR plane is cut into blocks, a large batch into parts; each draws its latents, one after
    another, from a generator whose seed is a hash of `seed` and its place. The first block takes
    `seed` itself, so that an image of one block gets what `Noise(seed)` gives. Windows draw the
    blocks they touch whole and crop, hence they agree wherever they overlap.

    Args:
        seed: names the field.
        height, width: of the image, LR pixels.
        rows: outputs in the batch, images x samples.
        multiple: what positions of windows are multiples of.
    """

    def __init__(self, seed: int, height: int, width: int, rows: int, multiple: int = 1):
        self.seed = seed
        self.size = (height, width)
        self.rows = rows
        self.block = math.lcm(NOISE_BLOCK, multiple)
        self.part = max(1, NOISE_PART // (min(height, self.block) * min(width, self.block)))

    def window(self, rows: slice, vertical: slice, horizontal: slice) -> Noise:
        """The noise of some outputs of the batch, in a window given in LR pixels."""
        height, width = self.size
        return _WindowNoise(
            [
                (self._generator(part.index, block.index, column.index), part, block, column)
                for part in _pieces(rows, self.part, self.rows)
                for block in _pieces(vertical, self.block, height)
                for column in _pieces(horizontal, self.block, width)
            ],
            vertical.stop - vertical.start,
        )

    def _generator(self, *place: int) -> torch.Generator:
        if not any(place):
            return seeded(self.seed)
        digest = hashlib.blake2b(f"{self.seed} {place}".encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


@dataclass(frozen=True)
class _Piece:
    """A block of one axis that a window touches.

    Args:
        index: of the block.
        length: of the block.
        source: what the window takes of the block, counted from the block's start.
        target: the same, counted from the window's start.
    """

    index: int
    length: int
    source: slice
    target: slice


def _pieces(window: slice, block: int, length: int) -> list[_Piece]:
    pieces = []
    for index in range(window.start // block, -(-window.stop // block)):
        start, stop = index * block, min(length, (index + 1) * block)
        first, last = max(start, window.start), min(stop, window.stop)
        source = slice(first - start, last - start)
        target = slice(first - window.start, last - window.start)
        pieces.append(_Piece(index, stop - start, source, target))
    return pieces


class _WindowNoise(Noise):
    """What `NoiseField.window` returns: latents of any resolution, drawn in order."""

    def __init__(self, blocks: list[tuple[torch.Generator, _Piece, _Piece, _Piece]], height: int):
        super().__init__()
        self.blocks = blocks
        self.height = height

    def __call__(self, like: Tensor) -> Tensor:
        channels, height = like.shape[1:3]

        def finer(pixels: int) -> int:
            return pixels * height // self.height

        def stretch(part: slice) -> slice:
            return slice(finer(part.start), finer(part.stop))

        noise = torch.empty_like(like)
        for generator, part, row, column in self.blocks:
            shape = (part.length, channels, finer(row.length), finer(column.length))
            draw = torch.randn(shape, generator=generator)
            crop = draw[part.source, :, stretch(row.source), stretch(column.source)]
            noise[part.target, :, stretch(row.target), stretch(column.target)] = crop
        return noise
