"""Colour spaces as files name them, as ICC profiles; without torch.

Colour points and transfers are the code points of ITU-T H.273, or numbers of their own.
"""

import struct
from typing import Any

Chromaticities = tuple[tuple[float, float], ...]  # white, red, green, blue: (x, y) each

D65 = (0.3127, 0.3290)
SRGB: Chromaticities = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: ((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
# Exponents; None is sRGB's curve, which viewers take for that of video, too.
TRANSFERS: dict[int, float | None] = {
    1: None, 4: 2.2, 5: 2.8, 6: None, 8: 1.0, 13: None, 14: None, 15: None, 17: 2.6,
}  # fmt: skip
HDR = {16: "PQ", 18: "HLG"}
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # sRGB's, as a parametric curve
_NEAR = 0.002  # chromaticities that are the same, written with few digits


def from_code_points(primaries: int, transfer: int, grey: bool = False) -> bytes | None:
    """The profile of colours that H.273 names; None for sRGB and for what is not known.

    Args:
        grey: for greyscale, which has the transfer alone.
    """
    if primaries not in PRIMARIES or transfer not in TRANSFERS:
        return None
    if grey:
        return _grey_profile(TRANSFERS[transfer])
    return matrix_profile(PRIMARIES[primaries], TRANSFERS[transfer])


def from_gamma(
    exponent: float | None, points: Chromaticities | None, grey: bool = False
) -> bytes | None:
    """The profile of colours given by numbers, as PNG's gAMA and cHRM have them; None for sRGB.

    Args:
        exponent: of the decoding; None for sRGB's curve, and so is what is close to 2.2 beside
            sRGB's colours, whose files say so.
        points: white, red, green and blue; None for sRGB's.
        grey: for greyscale, whose profile is another.
    """
    if exponent is not None and abs(exponent - 2.2) < 0.01 and _are_srgb(points or SRGB):
        exponent = None
    if grey:
        return _grey_profile(exponent)
    return matrix_profile(points or SRGB, exponent)


def matrix_profile(points: Chromaticities, exponent: float | None) -> bytes | None:
    """An RGB profile by chromaticities and one curve for all channels; None for sRGB itself."""
    if exponent is None and _are_srgb(points):
        return None
    columns = _adapted(points)
    curve = _curve(exponent)
    tags = {
        name: b"XYZ " + bytes(4) + _fixed(*column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    return _profile(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def _grey_profile(exponent: float | None) -> bytes | None:
    return None if exponent is None else _profile(b"GRAY", {b"kTRC": _curve(exponent)})


def _are_srgb(points: Chromaticities) -> bool:
    return all(
        abs(a - b) < _NEAR
        for found, known in zip(points, SRGB, strict=True)
        for a, b in zip(found, known, strict=True)
    )


def colour_space(profile: bytes) -> bytes:
    """What a profile describes: b"RGB ", b"GRAY", b"CMYK", ..."""
    return profile[16:20]


def hdr_transfer(profile: bytes) -> str | None:
    """The name of a profile's transfer when it is one of HDR."""
    count = int.from_bytes(profile[128:132], "big")
    for index in range(min(count, 100)):
        name, offset = struct.unpack_from(
            ">4sI", profile.ljust(132 + 1200, b"\0"), 132 + 12 * index
        )
        if name == b"cicp":
            return HDR.get(int.from_bytes(profile[offset + 9 : offset + 10], "big"))
    return None


def _adapted(points: Chromaticities) -> Any:
    """XYZ of red, green and blue, adapted from their white to D50 by Bradford's transform."""
    import numpy as np

    white, *colours = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    matrix = np.stack(colours, axis=1)
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = np.array(_BRADFORD)
    gains = (cones @ np.array(_D50)) / (cones @ white)
    return (np.linalg.solve(cones, gains[:, None] * (cones @ matrix))).T


def _curve(exponent: float | None) -> bytes:
    if exponent is None:
        return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(*_CURVE)
    return b"para" + bytes(4) + struct.pack(">HH", 0, 0) + _fixed(exponent)


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4I", 0, 1, 12, 0x656E5553) + struct.pack(
        ">II", len(encoded), 28
    ) + encoded  # fmt: skip


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 4 for displays."""
    tags = {
        b"desc": _text("colours as the source names them"),
        b"cprt": _text("no copyright"),
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50),
        **tags,
    }
    offset, index, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        index += name + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s6H4s4s", offset + len(body), b"", 0x04200000, b"mntr", space, b"XYZ ",
        2000, 1, 1, 0, 0, 0, b"acsp", b"",
    )  # fmt: skip
    header = header.ljust(68, b"\0") + _fixed(*_D50)
    return header.ljust(128, b"\0") + index + body
