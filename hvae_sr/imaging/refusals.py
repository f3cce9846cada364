"""Whatever a decoder or an encoder raises, as one sentence: the place that all callers share."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from hvae_sr.errors import ImageError


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
    except ValueError as error:
        if "MAX_TEXT" not in str(error) and "text chunks" not in str(error):
            raise _damaged(name) from error
        raise ImageError(
            f"{name} carries a text or profile too long to be read: export it again without it"
        ) from error
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory to decode than there is: shrink it") from error
    except Exception as error:
        # Pillow's decoders raise nearly anything: struct.error, RuntimeError, KeyError,
        # OverflowError, ZeroDivisionError, AssertionError, and more with every release.
        raise _damaged(name) from error


def _damaged(name: str) -> ImageError:
    return ImageError(f"{name} is damaged or cut short: export it again from its source")


@contextmanager
def encodable(size: tuple[int, int], name: str) -> Iterator[None]:
    """Turn whatever an encoder of images or the disk raises into one sentence.

    Args:
        size: (width, height) of what is written.
        name: of the file.

    Raises:
        ImageError: in place of any other exception.
    """
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory to be written than there is") from error
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{name} could not be written: {reason}") from error
    except Exception as error:
        # Pillow's encoders raise nearly anything: struct.error, RuntimeError, OverflowError.
        raise ImageError(
            f"{name} could not be written, its format does not hold this image of "
            f"{size[0]}x{size[1]} pixels ({error}): use PNG or TIFF"
        ) from error
