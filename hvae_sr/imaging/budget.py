"""What a stranger's picture file may cost: found in its structure, before a decoder sees it.

A decoder's work follows the file, not the pixels it gives: scans that are drawn over and over,
comments, millions of empty chunks. Each format is walked here no further than its bounds, in a
time that bytes alone decide.
"""

import mmap
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.imaging.metadata import metadata

PER_PIXEL = 16  # bytes of a file: four colours of 32 bits
PER_RUN, PER_ROW = 2, 4  # bytes of a run of at least one pixel, and between two rows, in a BMP
HEADER = 2**12  # bytes in which the header of a PPM ends
WITHOUT_METADATA = {"PPM": HEADER, "BMP": 2**17}  # format -> bytes it adds to its pixels
ANIMATED = ("PNG", "WEBP", "AVIF")  # whose headers tell the number of frames
MOST_FRAMES = 1000  # of an animation, each with as many bytes as one picture
SLOW = ("ppm", "ppm_plain", "bmp_rle")  # Pillow's decoders that are written in Python
INKS = ("CMYK", "LAB")  # whose profile is applied on reading, and never written


@dataclass(frozen=True)
class Budget:
    """What decoding one picture may cost.

    Args:
        seconds: of processor time; four times as long by the clock.
        memory: bytes of the decoder's address space, where the system bounds it.
        scans: of a JPEG.
        slow: pixels for Pillow's slowest decoders, microseconds each.
        parts: segments, chunks, blocks or tiles that a file is cut into.
        packed: chunks of a PNG that unpack to a profile or a text, of a mebibyte each.
        values: numbers in EXIF, and in a TIFF's tags, beside the places of its strips; Pillow
            reads and writes each of them in Python, for every answer anew.
        comments: bytes before the first frame of a GIF, which Pillow gathers slowly.
        spare: bytes of a file beside `PER_PIXEL` for each of its pixels; also of unpacked texts.
        metadata: bytes of profile, EXIF and XMP that would be copied into every answer.
    """

    seconds: float
    memory: int
    scans: int
    slow: int
    parts: int
    packed: int
    values: int
    comments: int
    spare: int
    metadata: int


STRANGERS = Budget(
    seconds=5,
    memory=2**30,
    scans=100,
    slow=2**18,
    parts=2**14,
    packed=32,
    values=1024,
    comments=2**18,
    spare=2**22,
    metadata=2**20,
)


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


def check_header(image: Image.Image, path: Path, budget: Budget) -> None:
    """Refuse an opened file, not yet decoded, whose bytes are out of proportion to its pixels.

    Raises:
        ImageError: in one sentence.
    """
    _check_exif(image, path.name, budget)
    tiles = getattr(image, "tile", ())
    if len(tiles) > budget.parts:
        raise _too_many_parts(path.name, budget)
    if image.format == "GIF":
        return  # of which only the first frame is read
    width, height = image.size
    pixels = width * height * PER_PIXEL
    if image.format in ANIMATED:
        pixels *= min(getattr(image, "n_frames", 1), MOST_FRAMES)
    codecs = {tile.codec_name for tile in tiles}
    if codecs & set(SLOW) and width * height > budget.slow:
        raise ImageError(
            f"{path.name} is stored in a way that is slow to decode: at most {budget.slow} pixels "
            "are taken so, export it as PNG"
        )
    if "bmp_rle" in codecs:
        pixels = width * height * PER_RUN + height * PER_ROW
    size = path.stat().st_size
    if size > pixels + WITHOUT_METADATA.get(str(image.format), budget.spare):
        raise ImageError(
            f"{path.name} has {size} bytes for {width}x{height} pixels: export it again without "
            "what lies beside them"
        )


def check_metadata(image: Image.Image, name: str, budget: Budget) -> None:
    """Refuse a decoded picture that would carry too much into every answer.

    Raises:
        ImageError: in one sentence.
    """
    _check_exif(image, name, budget)  # again: a PNG may have it behind its pixels
    kept = metadata(image)
    if image.mode in INKS:
        kept.pop("icc_profile", None)
    size = sum(len(value) for value in kept.values() if isinstance(value, bytes))
    texts = sum(len(value) for value in image.info.values() if isinstance(value, bytes | str))
    if texts > budget.spare:
        raise ImageError(f"{name} unpacks to {texts} bytes of text: export it again without them")
    if size > budget.metadata:
        raise ImageError(
            f"{name} carries {size} bytes of profile, EXIF and XMP: at most {budget.metadata} are "
            "taken, export it without them"
        )


def _too_many_parts(name: str, budget: Budget) -> ImageError:
    return ImageError(
        f"{name} is cut into more than {budget.parts} parts: export it again from its source"
    )


def _counted(parts: Iterator[object], name: str, budget: Budget) -> None:
    for count, _ in enumerate(parts):
        if count >= budget.parts:
            raise _too_many_parts(name, budget)


# Bytes of one value, by the number of its type, and the types that are numbers, not letters.
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_NUMBERS = _WIDTHS.keys() - {1, 2, 6, 7}
_FURTHER = (34665, 34853, 40965)  # tags that lead to more tags: EXIF, GPS, interoperability
_STRIPS, _TILES = 273, 324  # tags that say where each begins
_LAYOUT = (_STRIPS, 279, _TILES, 325, 320)  # these, the lengths of both, and the palette


def _check_exif(image: Image.Image, name: str, budget: Budget) -> None:
    block = image.info.get("exif")
    if block is None and isinstance(text := image.info.get("Raw profile type exif"), str):
        try:  # as Pillow does
            block = bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return
    if isinstance(block, bytes):
        _check_tags(block, name, budget)


def _check_tags(data: bytes | mmap.mmap, name: str, budget: Budget) -> None:
    """Refuse a TIFF, or EXIF, with many values, or with values that lie over one another."""
    if not isinstance(data, mmap.mmap):
        while data.startswith(b"Exif\0\0"):
            data = data[6:]
    size, values = 0, 0
    for count, (tag, kind, length) in enumerate(_tags(data)):
        size += length * _WIDTHS.get(kind, 0)
        values += length * (kind in _NUMBERS and tag not in _LAYOUT)
        if count >= budget.parts or (tag in (_STRIPS, _TILES) and length > budget.parts):
            raise _too_many_parts(name, budget)
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
        _check_tags(bytes(exif), name, budget)


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
                    "picture: export it again without them"
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
    rb"(?:II|MM)(?:[*+]\x00|\x00[*+])": _check_tags,
}
