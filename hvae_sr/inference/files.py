"""Picture files: opened with limits, saved whole or not at all."""

import os
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hvae_sr.errors import PictureError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm")
LARGEST_FILE = 2**26  # pixels of one picture file; more is taken for a decompression bomb


def is_picture(path: Path) -> bool:
    """Whether a path is a file whose suffix names a picture format that is read here."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def open_picture(path: str | Path, largest: int = LARGEST_FILE) -> Image.Image:
    """Read a picture file completely, its size checked before a pixel is decoded.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP, GIF (first frame) or PPM.
        largest: most pixels accepted.

    Raises:
        PictureError: in one sentence, for a file that is missing, no picture, truncated or huge.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
        width, height = image.size
        if width * height > largest:
            raise PictureError(
                f"{path.name} is {width}x{height}: at most {largest} pixels are read, shrink it"
            )
        image.load()
        return image
    except FileNotFoundError as error:
        raise PictureError(f"{path.name} is not there") from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{path.name} is far too large: at most {largest} pixels are read, shrink it"
        ) from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path.name} is not a picture in a format read here") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(
            f"{path.name} is damaged or cut short: export it again from its source"
        ) from error


def save_picture(image: Image.Image, path: str | Path) -> None:
    """Write a picture next to its final name, then rename: no half-written file is ever seen.

    ICC profile, EXIF and DPI that the picture carries are kept.

    Raises:
        PictureError: for an unknown suffix, a mode the format cannot hold, or a full disk.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in FORMATS:
        raise PictureError(f"{path.name}: cannot write {path.suffix!r}, use one of {SUFFIXES}")
    kept = {key: image.info[key] for key in ("icc_profile", "dpi", "exif") if key in image.info}
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with scratch.open("wb") as file:
            image.save(file, format=kind, **options, **kept)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except (OSError, ValueError) as error:
        scratch.unlink(missing_ok=True)
        raise PictureError(f"{path} could not be written: {error}") from error
