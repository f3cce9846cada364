"""The tags of TIFF files and EXIF blocks, counted before Pillow reads them one by one in Python."""

import mmap
from collections.abc import Iterator
from typing import Literal

from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.imaging.budget import Budget, too_many_parts

# Bytes of one value, by the number of its type, and the types that are numbers, not letters.
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_NUMBERS = _WIDTHS.keys() - {1, 2, 6, 7}
_FURTHER = (34665, 34853, 40965)  # tags that lead to more tags: EXIF, GPS, interoperability
_STRIPS, _TILES = 273, 324  # tags that say where each begins
_LAYOUT = (_STRIPS, 279, _TILES, 325, 320)  # these, the lengths of both, and the palette


def check_exif(image: Image.Image, name: str, budget: Budget) -> None:
    block = image.info.get("exif")
    if block is None and isinstance(text := image.info.get("Raw profile type exif"), str):
        try:  # as Pillow does
            block = bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return
    if isinstance(block, bytes):
        check_tags(block, name, budget)


def check_tags(data: bytes | mmap.mmap, name: str, budget: Budget) -> None:
    """Refuse a TIFF, or EXIF, with many values, or with values that lie over one another."""
    if not isinstance(data, mmap.mmap):
        while data.startswith(b"Exif\0\0"):
            data = data[6:]
    size, values = 0, 0
    for count, (tag, kind, length) in enumerate(_tags(data)):
        size += length * _WIDTHS.get(kind, 0)
        values += length * (kind in _NUMBERS and tag not in _LAYOUT)
        if count >= budget.parts or (tag in (_STRIPS, _TILES) and length > budget.parts):
            raise too_many_parts(name, budget)
        if values > budget.values or size > len(data):
            raise ImageError(
                f"{name} holds more than {budget.values} numbers beside its pixels, or some of "
                "them twice: export it again without EXIF"
            )


def _tags(data: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """(tag, type, number of values) in the first directory and those that it leads to.

    What is cut short ends where Pillow ends with it, too.
    """
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    # Bytes of an offset, which are those of a number of values too, and of the number of tags.
    wide, few = (8, 8) if data[2:3] == b"+" else (4, 2)

    def number(position: int, size: int) -> int:
        return int.from_bytes(data[position : position + size], order)

    places = [number(wide, wide)]
    while places:
        place = places.pop()
        start, step = place + few, 4 + 2 * wide
        end = min(start + number(place, few) * step, len(data) - step + 1)
        for tag in range(start, end, step):
            name, kind = number(tag, 2), number(tag + 2, 2)
            yield name, kind, number(tag + 4, wide)
            if name in _FURTHER:
                places.append(number(tag + 4 + wide, min(_WIDTHS.get(kind, 0), wide)))
