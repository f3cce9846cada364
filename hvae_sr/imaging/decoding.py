"""One image file read completely: what runs inside a decoder's process. It needs no torch."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError, features

from hvae_sr.errors import ImageError
from hvae_sr.imaging.budget import Budget
from hvae_sr.imaging.checks import check_header, check_metadata
from hvae_sr.imaging.metadata import readable_exif
from hvae_sr.imaging.structure import check_structure

AVIF = features.check("avif")
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM") + (("AVIF",) if AVIF else ())
LARGEST_FILE = 2**26  # pixels of one image file; more is taken for a decompression bomb


@dataclass(frozen=True)
class Request:
    """What a decoder is asked for.

    Args:
        path: absolute.
        largest: most pixels accepted.
        budget: what the work may cost; None for files of one's own, which may take their time.
    """

    path: str
    largest: int = LARGEST_FILE
    budget: Budget | None = None


@dataclass(frozen=True)
class Decoded:
    """An image in plain values, so that it can go from one process to another.

    Args:
        mode, size, format: of the Pillow image.
        palette: its mode and bytes, where there is one.
        info: Pillow's, of built-in types alone, with EXIF as `readable_exif` gives it.
        warnings: sentences about what was lost.
        pixels: as `Image.tobytes` gives them.
    """

    mode: str
    size: tuple[int, int]
    format: str | None
    palette: tuple[str, bytes] | None
    info: dict[str, Any]
    warnings: list[str]
    pixels: bytes

    def image(self) -> Image.Image:
        """The Pillow image, as `Image.open` and `load` would have given it."""
        image = Image.frombytes(self.mode, self.size, self.pixels)
        image.format = self.format
        if self.palette is not None:
            mode, colours = self.palette
            image.putpalette(colours, mode)
        image.info.update(self.info)
        return image


def decode(request: Request) -> Decoded:
    """Read an image file completely, its size checked before a pixel is decoded.

    Raises:
        ImageError: see `open_image`.
    """
    path = Path(request.path)
    with warnings.catch_warnings(record=True) as caught, readable(path.name, request.largest):
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if request.budget is not None:
            check_structure(path, request.budget)
        image = Image.open(path, formats=FORMATS)
        width, height = image.size
        if width * height > request.largest:
            raise ImageError(
                f"{path.name} is {width}x{height}: at most {request.largest} pixels are read, "
                "shrink it"
            )
        if request.budget is not None:
            check_header(image, path, request.budget)
        if _cut_to_eight_bits(image):
            warnings.warn(f"{path.name} has 16 bits a colour, of which 8 are read", stacklevel=1)
        image.load()
        if request.budget is not None:
            check_metadata(image, path.name, request.budget)
        said = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
        return _plain(image, said)


@contextmanager
def readable(name: str, largest: int) -> Iterator[None]:
    """Turn whatever a decoder raises into one sentence about the file `name`.

    Raises:
        ImageError: always, in place of any other exception.
    """
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist") from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read: change its permissions") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder, not an image") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} is far too large: at most {largest} pixels are read, shrink it"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image in a format read here") from error
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory to decode than there is: shrink it") from error
    except Exception as error:
        # Pillow's decoders raise nearly anything: struct.error, RuntimeError, KeyError,
        # OverflowError, ZeroDivisionError, AssertionError, and more with every release.
        raise ImageError(
            f"{name} is damaged or cut short: export it again from its source"
        ) from error


def _plain(image: Image.Image, said: list[str]) -> Decoded:
    palette = None
    if image.palette is not None and image.mode in ("P", "PA"):
        mode = image.palette.mode
        palette = (mode, bytes(image.getpalette(mode) or ()))
    info = {
        str(key): value for key, each in image.info.items() if (value := _value(each)) is not None
    }
    # Parsed and written again, for it may be hostile, and a TIFF's lies among its tags.
    for key in ("exif", "Raw profile type exif"):
        info.pop(key, None)
    if len(exif := readable_exif(image)):
        info["exif"] = exif.tobytes()
    return Decoded(image.mode, image.size, image.format, palette, info, said, image.tobytes())


def _value(value: Any) -> Any:
    """A value of built-in types, which another process can take; None for any other."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)  # a plain one: Pillow's may carry a language
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, Real):
        try:
            return float(value)
        except (ZeroDivisionError, OverflowError):
            return None
    if isinstance(value, tuple | list):
        return type(value)(map(_value, value)) if type(value) in (tuple, list) else None
    if isinstance(value, dict):
        return {_value(key): _value(each) for key, each in value.items()}
    return None


def _cut_to_eight_bits(image: Image.Image) -> bool:
    """Whether decoding will lose depth: known from the header, before `load`."""
    if image.mode.startswith(("I", "F")):
        return False
    for tile in getattr(image, "tile", ()):
        if tile.codec_name.startswith("ppm"):
            return tile.args[1] > 255  # the largest value, after the mode
        if ";16" in str(tile.args):
            return True
    return False
