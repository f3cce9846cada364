"""What PNG, AVIF and HEIC files say of their colours beside an ICC profile; without torch."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hvae_sr.errors import ImageError
from hvae_sr.imaging import icc

LONGEST_HEADER = 2**24  # bytes of a file in which its colours are looked for
_OLD_PQ = "ITUR_2100_PQ"  # how browsers knew HDR PNG by its profile's name, before cICP


@dataclass(frozen=True)
class ColourTags:
    """What a file says of its colours.

    Args:
        profile: an ICC profile equal to the tags, or None where they mean sRGB or say nothing.
        transfer: the name of an HDR transfer, or None.
        bits: a channel.
        replaces: whether the tags count more than a profile in the file.
    """

    profile: bytes | None = None
    transfer: str | None = None
    bits: int = 8
    replaces: bool = False


def colour_tags(path: Path, kind: str | None) -> ColourTags:
    """What a file of a format says of its colours; nothing for formats without such tags."""
    if kind not in ("PNG", "AVIF", "HEIF"):
        return ColourTags()
    with path.open("rb") as file:
        head = file.read(LONGEST_HEADER)
    return _of_png(head) if kind == "PNG" else _of_boxes(head)


def refuse_hdr(name: str, tags: ColourTags, profile: bytes | None) -> None:
    """Refuse a still image of high dynamic range, as movies are refused.

    Raises:
        ImageError: naming its transfer.
    """
    transfer = tags.transfer or (icc.hdr_transfer(profile) if profile else None)
    if transfer is not None:
        raise ImageError(
            f"{name} is HDR ({transfer}), which the models here cannot keep: convert it to SDR "
            "first"
        )


def _of_png(head: bytes) -> ColourTags:
    chunks = dict(_chunks(head))
    header = chunks.get(b"IHDR", b"").ljust(13, b"\0")
    bits, grey = header[8], header[9] in (0, 4)
    if len(cicp := chunks.get(b"cICP", b"")) == 4:
        transfer = icc.HDR.get(cicp[1])
        known = cicp[0] in icc.PRIMARIES and cicp[1] in icc.TRANSFERS
        profile = icc.from_code_points(cicp[0], cicp[1], grey)
        return ColourTags(profile, transfer, bits, replaces=known)
    if name := chunks.get(b"iCCP", b"").split(b"\0")[0].decode("latin-1"):
        return ColourTags(transfer="PQ" if name.startswith(_OLD_PQ) else None, bits=bits)
    if b"sRGB" in chunks:
        return ColourTags(bits=bits)
    exponent, points = None, None
    if len(gamma := chunks.get(b"gAMA", b"")) == 4 and (value := int.from_bytes(gamma, "big")):
        exponent = 100_000 / value
    if len(found := chunks.get(b"cHRM", b"")) == 32:
        numbers = [value / 100_000 for value in struct.unpack(">8I", found)]
        if all(0 < value < 1 for value in numbers):
            points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if exponent is not None and not 0.1 <= exponent <= 10:
        exponent = None  # no display has it: a damaged chunk
    return ColourTags(icc.from_gamma(exponent, points, grey), bits=bits)


def _of_boxes(head: bytes) -> ColourTags:
    """Of the first colour box with code points; a box with a profile is the decoder's to read,
    and counts more than they do."""
    bits = 8
    named: tuple[int, int] | None = None
    for kind, body in _boxes(head, 0, len(head)):
        if kind == b"av1C" and len(body) > 2 and body[2] & 0x40:
            bits = max(bits, 12 if body[2] & 0x20 else 10)
        elif kind == b"hvcC" and len(body) > 17:
            bits = max(bits, 8 + (body[17] & 7))
        elif kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10 and named is None:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            named = primaries, transfer
    if named is None:
        return ColourTags(bits=bits)
    return ColourTags(icc.from_code_points(*named), icc.HDR.get(named[1]), bits)


def _chunks(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of a PNG's chunks before its pixels."""
    position = 8
    while position + 8 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, position)
        if kind == b"IDAT":
            return
        yield kind, head[position + 8 : position + 8 + length]
        position += 12 + length


_HOLDERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}  # boxes that hold boxes, behind so many bytes


def _boxes(head: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of the properties of the images in an ISO base media file."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", head, start)
        body = start + 8
        if size == 1:
            size, body = int.from_bytes(head[body : body + 8], "big"), start + 16
        stop = end if size == 0 else min(end, start + size)
        if stop <= body and size != 8:
            return
        if kind in _HOLDERS:
            yield from _boxes(head, body + _HOLDERS[kind], stop)
        elif kind in (b"colr", b"av1C", b"hvcC"):
            yield kind, head[body:stop]
        start = stop
