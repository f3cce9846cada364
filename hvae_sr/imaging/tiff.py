"""TIFF files of the kinds that Pillow misreads: 16 bits, floating point, separate planes.

`tifffile` gives the raw values of a page; what they mean (white or black at zero, planes, alpha,
which page) is decided here. Without torch; imported only when such a file comes.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from PIL.ExifTags import Base

from hvae_sr.errors import ImageError
from hvae_sr.imaging.deep import DEEPEST, MODES
from hvae_sr.imaging.foreign import raw_refused
from hvae_sr.imaging.metadata import XMP, tiff_exif

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2  # of the older SubfileType
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_RAW = (32803, 34892)  # colour filter array, linear raw
_SEPARATE = 2
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_PREMULTIPLIED, _STRAIGHT = 1, 2  # kinds of further samples that are alpha
_DNG, _PROFILE, _IPTC = 50706, 34675, 33723
_PER_UNIT = {2: 1.0, 3: 2.54}  # units of resolution -> inches
_BYTE_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


MOST_PAGES = 1_000


@dataclass(frozen=True)
class Layout:
    """What of a TIFF is read, and by whom.

    Args:
        page: index of the first whole image.
        pages: how many whole images there are.
        size: (width, height) of the page.
        raw_values: whether `read_page` is to read it; Pillow reads the others.
    """

    page: int
    pages: int
    size: tuple[int, int]
    raw_values: bool


def layout(path: Path) -> Layout:
    """Which page of a TIFF is the image, and who reads it.

    Raises:
        ImageError: for camera raw, and more pages than `MOST_PAGES`.
        tifffile.TiffFileError: and nearly anything else, for a damaged file.
    """
    with tifffile.TiffFile(path) as file:
        listed = list(islice(file.pages, MOST_PAGES + 1))
        if len(listed) > MOST_PAGES:  # or as many as a damaged file makes of one
            raise ImageError(
                f"{path.name} holds more than {MOST_PAGES} pages: save the one you mean"
            )
        pages = [page for page in listed if isinstance(page, tifffile.TiffPage)]
        if any(_DNG in page.tags or page.photometric in _RAW for page in pages):
            raise raw_refused(path.name)
        whole = [i for i, page in enumerate(pages) if not _is_reduced(page)]
        first = whole[0] if whole else 0
        page = pages[first]
        count = max(len(whole), 1)
        if count == 1 and file.is_imagej and file.imagej_metadata:
            count = int(file.imagej_metadata.get("images", 1))  # behind one another, in one page
        return Layout(first, count, (page.imagewidth, page.imagelength), _is_misread(page))


def read_page(path: Path, index: int) -> tuple[str, tuple[int, int], dict[str, Any], np.ndarray]:
    """A page of a TIFF: mode, size, info as Pillow has it, and its values.

    The mode is one of Pillow's, or one of `deep.MODES` for values of 16 bits.

    Raises:
        ImageError: for colours in floating point, channels that are no colours, values that 16
            bits cannot hold, and files cut short.
    """
    with tifffile.TiffFile(path) as file:
        page = file.pages[index]
        assert isinstance(page, tifffile.TiffPage)
        _check_whole(page, path)
        values = page.asarray(maxworkers=1)
        if page.imagedepth > 1 or values.ndim > 3:
            raise ImageError(
                f"{path.name} holds a volume of {page.imagedepth} slices: save the slice you mean "
                "as an image of its own"
            )
        if page.planarconfig == _SEPARATE and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        values = values[..., None] if values.ndim == 2 else values
        mode, values = _interpreted(np.asarray(values), page, path.name)
        size = (values.shape[1], values.shape[0])
        return mode, size, _info(page, path, file), np.ascontiguousarray(values)


def _is_reduced(page: Any) -> bool:
    old = page.tags.get(255)
    return bool(page.subfiletype & (_REDUCED | _MASK)) or (
        old is not None and old.value == _OLD_REDUCED
    )


def _is_misread(page: Any) -> bool:
    """Whether Pillow misreads the page, or does not read it."""
    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        return False
    bits = int(np.max(page.bitspersample))
    return bool(
        bits > 8
        or page.sampleformat not in (_UNSIGNED, 4)  # 4: not defined
        or (page.planarconfig == _SEPARATE and page.samplesperpixel > 1)
    )


def _check_whole(page: tifffile.TiffPage, path: Path) -> None:
    """Refuse a page whose strips the file does not hold; missing ones would become black."""
    length = path.stat().st_size
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    wanted = int(np.prod(page.chunked)) if page.chunked else len(pieces)
    if len(pieces) < wanted or any(o <= 0 or n <= 0 or o + n > length for o, n in pieces):
        raise ImageError(f"{path.name} is damaged or cut short: export it again from its source")


def _interpreted(values: np.ndarray, page: Any, name: str) -> tuple[str, np.ndarray]:
    """Raw values (H, W, samples) -> the mode, and grey, RGB and alpha as they are meant."""
    colours = 3 if page.photometric == _RGB else 1
    further = values.shape[2] - colours
    kinds = tuple(int(kind) for kind in page.extrasamples)
    if further < 0 or (colours == 1 and further > 1) or (further > 1 and colours == 3):
        raise ImageError(
            f"{name} holds {values.shape[2]} channels a pixel, which are no grey or RGB image: "
            "save the channels you mean as an image of their own"
        )
    alpha = further == 1 and bool(kinds) and kinds[0] in (_PREMULTIPLIED, _STRAIGHT)
    if further == 1 and not alpha and colours == 1:
        raise ImageError(
            f"{name} holds 2 channels a pixel, neither of them transparency: save the one you "
            "mean as an image of its own"
        )
    values = values[..., : colours + alpha]
    if values.dtype.kind == "f":
        return "F", _floats(values, page, name)
    values = _sixteen_bits(values, int(np.max(page.bitspersample)), name)
    if page.photometric == _WHITE_IS_ZERO:
        values[..., :1] = np.iinfo(values.dtype).max - values[..., :1]
    if alpha and kinds[0] == _PREMULTIPLIED:
        top = np.iinfo(values.dtype).max
        share = np.maximum(values[..., -1:], 1).astype(np.float64) / top
        values[..., :-1] = (values[..., :-1] / share).clip(0, top).round()
    modes = _BYTE_MODES if values.dtype == np.uint8 else MODES
    return modes[values.shape[2]], values


def _floats(values: np.ndarray, page: Any, name: str) -> np.ndarray:
    if values.shape[2] > 1:
        raise ImageError(
            f"{name} holds floating-point colours ({values.dtype}, {values.min():.6g} to "
            f"{values.max():.6g}), whose white is not known: export it as TIFF or PNG of 16 bits"
        )
    grey = values[..., 0].astype("<f4")
    return 1 - grey if page.photometric == _WHITE_IS_ZERO else grey


def _sixteen_bits(values: np.ndarray, bits: int, name: str) -> np.ndarray:
    """Integers, those of fewer bits than their type scaled up -> uint8 or uint16."""
    if values.dtype == np.uint8 and bits == 8:
        return values.copy()
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > DEEPEST:
        raise ImageError(
            f"{name} holds integers of {low} to {high}: bring them into 0 to {DEEPEST} first"
        )
    if bits >= 16:
        return values.astype(np.uint16)
    top = 2**bits - 1 if values.dtype.kind == "u" else 127
    return ((values.astype(np.uint32) * DEEPEST + top // 2) // top).astype(np.uint16)


def _info(page: tifffile.TiffPage, path: Path, file: tifffile.TiffFile) -> dict[str, Any]:
    """Profile, XMP, IPTC, resolution and EXIF of a page, under Pillow's names."""
    info: dict[str, Any] = {}
    for key, code in (("icc_profile", _PROFILE), ("xmp", XMP), ("iptc", _IPTC)):
        if (tag := page.tags.get(code)) is not None and isinstance(tag.value, bytes):
            info[key] = tag.value
    unit = page.tags.get(Base.ResolutionUnit)
    if unit is not None and int(unit.value) in _PER_UNIT:
        info["dpi"] = tuple(each * _PER_UNIT[int(unit.value)] for each in page.get_resolution())
    found = Image.Exif()
    found.endian, found.bigtiff = file.byteorder, file.is_bigtiff
    with path.open("rb") as stream:
        found.load_from_fp(stream, page.offset)
        exif = tiff_exif(found)
    if len(exif):
        info["exif"] = exif.tobytes()
    return info
