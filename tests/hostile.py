"""Image files whose decoding costs far more than their pixels, by hand and of any length."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def repeated_scans(path: Path, scans: int, side: int = 512) -> Path:
    """A progressive JPEG that draws its last scan, of a few bytes, over and over."""
    file = io.BytesIO()
    Image.new("L", (side, side), 90).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    path.write_bytes(whole[:-2] + last * scans + whole[-2:])
    return path


def segments(path: Path, count: int) -> Path:
    """A JPEG with empty comments."""
    whole = _saved("JPEG")
    path.write_bytes(whole[:2] + b"\xff\xfe\x00\x02" * count + whole[2:])
    return path


def plain_ppm(path: Path, length: int) -> Path:
    """Pixels as text, between comments."""
    path.write_bytes(b"P3\n2 2\n255\n" + b"#\n" * (length // 2) + b"1 2 3 " * 4)
    return path


def commented_ppm(path: Path, length: int) -> Path:
    """A binary PPM whose header is a comment."""
    path.write_bytes(b"P6\n#" + b"c" * length + b"\n2 2\n255\n" + bytes(12))
    return path


def commented_gif(path: Path, length: int) -> Path:
    """A GIF with one comment of many blocks."""
    whole = _saved("GIF")
    start = 13 + 3 * 2 ** (1 + whole[10] % 8)
    block = b"\xff" + b"c" * 255
    comment = b"!\xfe" + block * (length // 256) + b"\x00"
    path.write_bytes(whole[:start] + comment + whole[start:])
    return path


def padded_gif(path: Path, length: int) -> Path:
    """A GIF with bytes that begin no block."""
    whole = _saved("GIF")
    start = 13 + 3 * 2 ** (1 + whole[10] % 8)
    path.write_bytes(whole[:start] + bytes(length) + whole[start:])
    return path


def chunked_png(path: Path, count: int, before: bool = True) -> Path:
    """A PNG with empty chunks, before or after its pixels."""
    whole = _saved("PNG")
    chunk = struct.pack(">I4sI", 0, b"tEXt", zlib.crc32(b"tEXt"))
    place = whole.index(b"IDAT" if before else b"IEND") - 4
    path.write_bytes(whole[:place] + chunk * count + whole[place:])
    return path


def packed_texts(path: Path, count: int) -> Path:
    """A PNG with texts of a mebibyte, each packed into a kilobyte."""
    whole = _saved("PNG")
    place, chunks = whole.index(b"IDAT") - 4, b""
    for index in range(count):
        body = b"zTXtkey%d\0\0" % index + zlib.compress(bytes(2**20 - 1))
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(whole[:place] + chunks + whole[place:])
    return path


def slow_ppm(path: Path, side: int) -> Path:
    """A binary PPM whose largest value is none that Pillow has fast code for."""
    path.write_bytes(b"P5 %d %d 254\n" % (side, side) + bytes(side * side))
    return path


def empty_runs(path: Path, count: int) -> Path:
    """A BMP of 8 bits, run-length coded, that begins with runs of no pixel."""
    rows = b"\x00\x00" * count + (b"\x04\x01" + b"\x00\x00") * 4 + b"\x00\x01"
    offset = 14 + 40 + 1024
    head = struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 8, 1, len(rows), 0, 0, 256, 0)
    path.write_bytes(head + info + bytes(1024) + rows)
    return path


def tags(path: Path, count: int) -> Path:
    """A BigTIFF with any number of tags."""
    entry = struct.pack("<HHQQ", 65000, 1, 1, 0)
    head = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16)
    path.write_bytes(head + struct.pack("<Q", count) + entry * count + bytes(8))
    return path


def strips(path: Path, height: int) -> Path:
    """An uncompressed TIFF of one column, a strip for each row."""
    offsets = 8 + 2 + 12 * 9 + 4
    entries = [
        (256, 4, 1, 1),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, height, offsets),
        (277, 3, 1, 1),
        (278, 4, 1, 1),
        (279, 4, height, offsets + 4 * height),
    ]
    folder = struct.pack("<H", len(entries))
    folder += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    places = struct.pack(f"<{height}I", *[offsets + 8 * height] * height)
    lengths = struct.pack(f"<{height}I", *[1] * height)
    path.write_bytes(b"II*\x00\x08\x00\x00\x00" + folder + places + lengths + b"\x7f")
    return path


def with_profile(path: Path, size: int, side: int = 16) -> Path:
    """An image with an ICC profile of any size, which no image needs."""
    Image.new("RGB", (side, side)).save(path, icc_profile=bytes(size))
    return path


def exif(entries: list[tuple[int, int, int, bytes]]) -> bytes:
    """EXIF of (tag, type, number of values, four bytes that are or tell where they are)."""
    body = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + body + bytes(4)


def with_exif(path: Path, block: bytes) -> Path:
    """An image with this EXIF, in a format that takes any."""
    Image.new("RGB", (16, 16)).save(path, exif=b"Exif\0\0" + block)
    return path


def numbered(path: Path, count: int, pointer: int | None = None) -> Path:
    """EXIF with one tag of so many fractions; behind a pointer of this type, if any is given."""
    start = 8 + 2 + 12 + 4
    if pointer is None:
        block = exif([(0xC000, 5, count, start.to_bytes(4, "big"))])
    else:
        place = start.to_bytes(2 if pointer == 3 else 4, "big").ljust(4, b"\0")
        block = exif([(0x8769, pointer, 1, place)])
        values = (start + 2 + 12 + 4).to_bytes(4, "big")
        block += exif([(0xC000, 5, count, values)])[8:]
    return with_exif(path, block + bytes([0, 0, 0, 1] * 2 * count))


def overlapping(path: Path, count: int) -> Path:
    """EXIF of so many tags that all have the same letters."""
    place = (8 + 2 + 12 * count + 4).to_bytes(4, "big")
    return with_exif(path, exif([(0xC000 + n, 2, 1000, place) for n in range(count)]) + bytes(1000))


def overlapping_tiff(path: Path, count: int) -> Path:
    """A TIFF in which one tag comes again and again, of the same letters each time."""
    Image.new("L", (16, 16)).save(path)
    whole = path.read_bytes()
    (start,) = struct.unpack_from("<I", whole, 4)
    (few,) = struct.unpack_from("<H", whole, start)
    own = whole[start + 2 : start + 2 + 12 * few]
    letters = struct.pack("<HHII", 0xC000, 2, 10_000, len(whole))
    moved = struct.pack("<H", few + count) + own + letters * count + bytes(4)
    place = (len(whole) + 10_000).to_bytes(4, "little")
    path.write_bytes(whole[:4] + place + whole[8:] + b"a" * 10_000 + moved)
    return path


def profiles(path: Path, count: int) -> Path:
    """A PNG with so many profiles, of which Pillow unpacks each."""
    whole = _saved("PNG")
    body = b"iCCPname\0\0" + zlib.compress(bytes(2**20 - 1))
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    place = whole.index(b"IDAT") - 4
    path.write_bytes(whole[:place] + chunk * count + whole[place:])
    return path


def exif_segments(path: Path, count: int) -> Path:
    """A JPEG whose EXIF comes in so many segments, which Pillow joins one by one."""
    whole = _saved("JPEG")
    body = b"Exif\0\0" + bytes(400)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    path.write_bytes(whole[:2] + segment * count + whole[2:])
    return path


def _saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, kind)
    return file.getvalue()
