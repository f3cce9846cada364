"""What a stranger's image file costs by its structure, found before a decoder sees it.

A decoder's work follows the file, not the pixels it gives: scans that are drawn over and over,
comments, millions of empty chunks. Each format is walked here no further than its bounds, in a
time that bytes alone decide.
"""

import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from hvae_sr.errors import ImageError
from hvae_sr.imaging.budget import Budget, too_many_parts
from hvae_sr.imaging.tags import check_tags

HEADER = 2**12  # bytes in which the header of a PPM ends


def check_structure(path: Path, budget: Budget) -> None:
    """Refuse a file whose structure costs more than its pixels, before it is opened.

    Raises:
        ImageError: in one sentence.
        OSError: when the file cannot be read.
    """
    with path.open("rb") as file:
        if not file.read(1):
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for start, walk in _WALKS.items():
                if re.match(start, data):
                    walk(data, path.name, budget)


def _counted(parts: Iterator[object], name: str, budget: Budget) -> None:
    for count, _ in enumerate(parts):
        if count >= budget.parts:
            raise too_many_parts(name, budget)


_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)  # no stuffing and no restart
_ALONE, _END, _SCAN, _APP1 = (0x01, 0xD8), 0xD9, 0xDA, 0xE1


def _jpeg(data: mmap.mmap, name: str, budget: Budget) -> None:
    exif = bytearray()  # Pillow joins its segments, and reads it when it opens the file

    def segments() -> Iterator[int]:
        position, scans = 0, 0
        while (found := _MARKER.search(data, position)) is not None:
            marker, position = found[1][0], found.end()
            yield marker
            if marker == _END and scans:
                return
            if marker == _APP1 and data[position + 2 : position + 8] == b"Exif\0\0":
                length = int.from_bytes(data[position : position + 2], "big")
                exif.extend(data[position + 8 : position + length])
                if len(exif) > budget.metadata:
                    raise ImageError(
                        f"{name} carries more than {budget.metadata} bytes of EXIF: export it "
                        "without them"
                    )
            if marker not in (*_ALONE, _END):
                position += int.from_bytes(data[position : position + 2], "big")
            scans += marker == _SCAN
            if scans > budget.scans:
                raise ImageError(
                    f"{name} draws its pixels in more than {budget.scans} scans: export it again "
                    "as an ordinary JPEG or as PNG"
                )

    _counted(segments(), name, budget)
    if exif:
        check_tags(bytes(exif), name, budget)


_PACKED = (b"iCCP", b"zTXt", b"iTXt")


def _png(data: mmap.mmap, name: str, budget: Budget) -> None:
    def chunks() -> Iterator[int]:
        position, packed = 8, 0
        while position < len(data):
            yield position
            packed += data[position + 4 : position + 8] in _PACKED
            if packed > budget.packed:
                raise ImageError(
                    f"{name} holds more than {budget.packed} packed texts and profiles: export it "
                    "again without them"
                )
            position += 12 + int.from_bytes(data[position : position + 4], "big")

    _counted(chunks(), name, budget)


def _gif(data: mmap.mmap, name: str, budget: Budget) -> None:
    start = 13 + (3 * 2 ** (1 + data[10] % 8) if data[10] & 0x80 else 0)

    def blocks() -> Iterator[int]:
        """Where each lies before the first frame; bytes that begin none are passed over singly."""
        position = start
        while position < len(data) and data[position] not in b",;":
            yield position
            if data[position] != ord("!"):
                position += 1
                continue
            position += 2
            while position < len(data) and data[position]:
                yield position
                position += 1 + data[position]
            position += 1

    def bounded() -> Iterator[int]:
        for position in blocks():
            if position - start > budget.comments:
                raise ImageError(
                    f"{name} holds more than {budget.comments} bytes of comments before its "
                    "image: export it again without them"
                )
            yield position

    _counted(bounded(), name, budget)


_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])"
_NUMBER = _SPACE + rb"+[-+.\w]{1,20}"
_BINARY = re.compile(
    rb"P(?:4(?:%(n)b){2}|(?:[56f]|0CMYK|y\w{1,4})(?:%(n)b){3})\s" % {b"n": _NUMBER}
)


def _ppm(data: mmap.mmap, name: str, budget: Budget) -> None:
    if not _BINARY.match(data[:HEADER]):
        raise ImageError(
            f"{name} holds its pixels as text, or a header of more than {HEADER} bytes: export it "
            "as PNG"
        )


_WALKS: dict[bytes, Callable[[mmap.mmap, str, Budget], None]] = {
    rb"\xff\xd8\xff": _jpeg,
    rb"\x89PNG\r\n\x1a\n": _png,
    rb"(?s)GIF8[79]a.{7}": _gif,
    rb"P[1-6fy0]": _ppm,
    rb"(?:II|MM)(?:[*+]\x00|\x00[*+])": check_tags,
}
