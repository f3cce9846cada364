"""Image files of every kind that is read, damaged in their bytes."""

import io
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.fuzzers.verdicts import Outcome, judged
from hvae_sr.imaging.files import open_image

COUNT = 18_000
SIDE = 24
LARGEST = 10_000 * 10_000  # pixels; a damaged header may claim more


@dataclass(frozen=True)
class Whole:
    """A file that nothing is wrong with."""

    name: str
    suffix: str
    content: bytes


def wholes() -> list[Whole]:
    """One file of each format, mode and way of packing."""
    ramp = np.add.outer(np.arange(SIDE) * 7, np.arange(SIDE) * 3).astype(np.uint8)
    rgb = Image.fromarray(np.stack([ramp, ramp.T, ramp[::-1]], axis=-1))
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray(ramp))
    deep = Image.fromarray(ramp.astype(np.uint16) * 257)
    grey, palette, cmyk = Image.fromarray(ramp), rgb.quantize(32), rgb.convert("CMYK")
    saved: list[tuple[str, Image.Image, dict[str, Any]]] = [
        *((".png", image, {}) for image in (rgb, alpha, grey, palette, deep, grey.convert("1"))),
        (".png", rgb, {"save_all": True, "append_images": [rgb.rotate(90)], "duration": 80}),
        *((".jpg", image, {}) for image in (rgb, grey, cmyk)),
        (".jpg", rgb, {"progressive": True, "exif": _exif()}),
        *((".webp", image, {"lossless": True}) for image in (rgb, alpha)),
        (".webp", rgb, {"quality": 60}),
        (".webp", rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
        *((".tif", image, {}) for image in (rgb, alpha, grey, deep, cmyk, palette)),
        *(
            (".tif", rgb, {"compression": c})
            for c in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")
        ),
        *((".bmp", image, {}) for image in (rgb, alpha, palette, grey)),
        *((".gif", image, {}) for image in (palette, grey)),
        (".gif", palette, {"save_all": True, "append_images": [palette.rotate(90)]}),
        (".ppm", rgb, {}),
        (".pgm", grey, {}),
        (".avif", rgb, {}),
        (".avif", alpha, {"quality": 40}),
    ]
    found = []
    for number, (suffix, image, options) in enumerate(saved):
        file = io.BytesIO()
        image.save(file, Image.registered_extensions()[suffix], **options)
        found.append(Whole(f"{number}-{image.mode}{suffix}", suffix, file.getvalue()))
    return found


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    return exif


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _flipped(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _number(content: bytes, chance: random.Random) -> bytes:
    """One of the numbers of a header made as odd as can be."""
    place = chance.randrange(min(len(content), 256))
    value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
    form = chance.choice("BHI") if value < 256 else chance.choice("HI") if value < 65_536 else "I"
    packed = struct.pack(chance.choice("<>") + form, value)
    return content[:place] + packed + content[place + len(packed) :]


def _run(content: bytes, chance: random.Random) -> bytes:
    """A stretch lost, zeroed, said twice, or put elsewhere."""
    start = chance.randrange(len(content))
    stretch = content[start : start + chance.randrange(1, 64)]
    rest = content[start + len(stretch) :]
    place = chance.randrange(len(rest) + 1)
    instead = chance.choice((b"", bytes(len(stretch)), stretch + stretch))
    moved = content[:start] + rest[:place] + stretch + rest[place:]
    return chance.choice((content[:start] + instead + rest, moved))


def _junk(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + chance.randbytes(chance.randrange(1, 32)) + content[place:]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": _cut,
    "bits flipped": _flipped,
    "a number of the header": _number,
    "a stretch": _run,
    "junk": _junk,
}


def run(count: int, seed: int, scratch: Path) -> Iterator[Outcome]:
    """`count` outcomes of opening a damaged file; before them, every whole file is opened."""
    every = wholes()
    for whole in every:
        yield judged(f"whole {whole.name}", partial(_opened, whole, scratch), _is_right)
    chance = random.Random(seed)
    for number in range(count):
        whole, damage = chance.choice(every), chance.choice(sorted(DAMAGES))
        content = DAMAGES[damage](whole.content, chance)
        damaged = Whole(whole.name, whole.suffix, content)
        # what is cut in the middle holds no whole image any more
        half = damage == "cut" and len(content) < len(whole.content) // 2
        right = _is_refused if half else _is_right
        yield judged(f"{number}: {damage}, {whole.name}", partial(_opened, damaged, scratch), right)


def _opened(file: Whole, scratch: Path) -> Image.Image:
    path = scratch / f"in{file.suffix}"
    path.write_bytes(file.content)
    return open_image(path, LARGEST)


def _is_right(image: Image.Image) -> bool:
    return min(image.size) > 0 and image.width * image.height <= LARGEST


def _is_refused(image: Image.Image) -> bool:
    return False
