"""What an opened image may hold beside its pixels, within a budget."""

from pathlib import Path

from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.imaging.budget import Budget, too_many_parts
from hvae_sr.imaging.metadata import metadata
from hvae_sr.imaging.structure import HEADER
from hvae_sr.imaging.tags import check_exif

PER_PIXEL = 16  # bytes of a file: four colours of 32 bits
PER_RUN, PER_ROW = 2, 4  # bytes of a run of at least one pixel, and between two rows, in a BMP
WITHOUT_METADATA = {"PPM": HEADER, "BMP": 2**17}  # format -> bytes it adds to its pixels
ANIMATED = ("PNG", "WEBP", "AVIF")  # whose headers tell the number of frames
MOST_FRAMES = 1000  # of an animation, each with as many bytes as one image
SLOW = ("ppm", "ppm_plain", "bmp_rle")  # Pillow's decoders that are written in Python
INKS = ("CMYK", "LAB")  # whose profile is applied on reading, and never written


def check_header(image: Image.Image, path: Path, budget: Budget) -> None:
    """Refuse an opened file, not yet decoded, whose bytes are out of proportion to its pixels.

    Raises:
        ImageError: in one sentence.
    """
    check_exif(image, path.name, budget)
    tiles = getattr(image, "tile", ())
    if len(tiles) > budget.parts:
        raise too_many_parts(path.name, budget)
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
    spare = WITHOUT_METADATA.get(str(image.format), budget.spare)
    check_file_size(path, image.size, pixels + spare)


def check_file_size(path: Path, size: tuple[int, int], most: int) -> None:
    """Refuse a file of more than so many bytes, which are out of proportion to its pixels.

    Raises:
        ImageError: in one sentence.
    """
    found = path.stat().st_size
    if found > most:
        raise ImageError(
            f"{path.name} has {found} bytes for {size[0]}x{size[1]} pixels: export it again "
            "without what lies beside them"
        )


def check_metadata(image: Image.Image, name: str, budget: Budget) -> None:
    """Refuse a decoded image that would carry too much into every output.

    Raises:
        ImageError: in one sentence.
    """
    check_exif(image, name, budget)  # again: a PNG may have it behind its pixels
    kept = metadata(image)
    if image.mode in INKS:
        kept.pop("icc_profile", None)
    size = sum(len(value) for value in kept.values() if isinstance(value, bytes))
    size += sum(len(key) + len(value) for key, value in kept.get("texts", {}).items())
    texts = sum(len(value) for value in image.info.values() if isinstance(value, bytes | str))
    if texts > budget.spare:
        raise ImageError(f"{name} unpacks to {texts} bytes of text: export it again without them")
    if size > budget.metadata:
        raise ImageError(
            f"{name} carries {size} bytes of profile, EXIF and XMP: at most {budget.metadata} are "
            "taken, export it without them"
        )
