"""One image file read completely: what runs inside a decoder's process. It needs no torch."""

import warnings
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from hvae_sr.errors import ImageError
from hvae_sr.imaging import catalogue
from hvae_sr.imaging.budget import Budget
from hvae_sr.imaging.checks import PER_PIXEL, check_file_size, check_header, check_metadata
from hvae_sr.imaging.colour_tags import colour_tags, refuse_hdr
from hvae_sr.imaging.foreign import HEIF, refuse_foreign
from hvae_sr.imaging.frames import count_frames, read_frames, seek_first
from hvae_sr.imaging.metadata import found_iptc, kept_texts, readable_exif
from hvae_sr.imaging.refusals import readable
from hvae_sr.imaging.structure import check_structure

if TYPE_CHECKING:
    from hvae_sr.imaging.deep import DeepImage

FORMATS = tuple(name for name in catalogue.FORMATS if name != "HEIF" or HEIF)
LARGEST_FILE = 2**26  # pixels of one image file; more is taken for a decompression bomb
_TEXT = 2**20, 2**26  # bytes that one text of a PNG may unpack to: a stranger's, one's own
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Request:
    """What a decoder is asked for.

    Args:
        path: absolute.
        largest: most pixels accepted, of all frames together.
        budget: what the work may cost; None for files of one's own, which may take their time.
        frames: whether all frames of an animation are wanted, not its first alone.
    """

    path: str
    largest: int = LARGEST_FILE
    budget: Budget | None = None
    frames: bool = False


@dataclass(frozen=True)
class Decoded:
    """An image in plain values, so that it can go from one process to another.

    Args:
        mode, size, format: of the Pillow image; the mode may be one of `deep.MODES`, too.
        palette: its mode and bytes, where there is one.
        info: Pillow's, of built-in types alone, with EXIF as `readable_exif` gives it.
        warnings: sentences about what was lost.
        pixels: as `Image.tobytes` gives them, of one frame after another.
        count: frames or pages of the file.
        durations: of the frames in `pixels`, in milliseconds, where they are of an animation.
    """

    mode: str
    size: tuple[int, int]
    format: str | None
    palette: tuple[str, bytes] | None
    info: dict[str, Any]
    warnings: list[str]
    pixels: bytes
    count: int = 1
    durations: list[float] = field(default_factory=list)

    def images(self) -> "list[Image.Image | DeepImage]":
        """Every frame in `pixels`, see `image`."""
        count = max(1, len(self.durations))
        length = len(self.pixels) // count
        view = memoryview(self.pixels)
        return [self._image(view[i * length : (i + 1) * length]) for i in range(count)]

    def image(self) -> "Image.Image | DeepImage":
        """The first image, as `Image.open` and `load` would have given it, or the deep one."""
        return self.images()[0]

    def _image(self, pixels: memoryview) -> "Image.Image | DeepImage":
        if self.mode.endswith(";16") and self.mode != "I;16":
            return self._deep(pixels)
        image = Image.frombytes(self.mode, self.size, pixels)
        image.format = self.format
        if self.palette is not None:
            mode, colours = self.palette
            image.putpalette(colours, mode)
        image.info.update(self.info)
        return image

    def _deep(self, pixels: memoryview) -> "DeepImage":
        import numpy as np

        from hvae_sr.imaging.deep import DeepImage

        shape = (self.size[1], self.size[0], -1)
        array = np.frombuffer(pixels, np.uint16).reshape(shape)
        return DeepImage(array, dict(self.info), self.format)


def decode(request: Request) -> Decoded:
    """Read an image file completely, its size checked before a pixel is decoded.

    Raises:
        ImageError: see `open_image`.
    """
    path = Path(request.path)
    own = request.budget is None
    PngImagePlugin.MAX_TEXT_CHUNK = _TEXT[own]
    PngImagePlugin.MAX_TEXT_MEMORY = 4 * _TEXT[1]
    with warnings.catch_warnings(record=True) as caught, readable(path.name, request.largest):
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if request.budget is not None:
            check_structure(path, request.budget)
        refuse_foreign(path)
        decoded = _tiff(request, path) if _is_tiff(path) else _other(request, path)
        if decoded.count > 1 and len(decoded.durations) < decoded.count:
            warnings.warn(_dropped(path.name, decoded), stacklevel=1)
        said = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
        decoded.warnings.extend(said)
        return decoded


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _TIFF_STARTS


def _dropped(name: str, decoded: Decoded) -> str:
    kind = "pages" if decoded.format == "TIFF" else "frames"
    return (
        f"{name} holds {decoded.count} {kind}, of which the first alone is read: "
        f"{decoded.count - 1} dropped"
    )


def _tiff(request: Request, path: Path) -> Decoded:
    """A TIFF: by Pillow what it reads rightly, by tifffile the rest."""
    from hvae_sr.imaging import tiff

    layout = tiff.layout(path)
    _check_size(path.name, layout.size, request.largest)
    if not layout.raw_values:
        image = Image.open(path, formats=FORMATS)
        _check_size(path.name, image.size, request.largest)
        if layout.page:
            image.seek(layout.page)
            _check_size(path.name, image.size, request.largest)
        return _by_pillow(request, path, image, layout.pages)
    width, height = layout.size
    if request.budget is not None:
        check_file_size(path, layout.size, width * height * PER_PIXEL + request.budget.spare)
    mode, size, info, values = tiff.read_page(path, layout.page)
    carrier = Image.new("L", (1, 1))
    carrier.info.update(info)
    if request.budget is not None:
        check_metadata(carrier, path.name, request.budget)
    return Decoded(mode, size, "TIFF", None, info, [], values.tobytes(), layout.pages)


def _other(request: Request, path: Path) -> Decoded:
    if HEIF:
        import pi_heif

        pi_heif.register_heif_opener()
    image = Image.open(path, formats=FORMATS)
    _check_size(path.name, image.size, request.largest)
    return _by_pillow(request, path, image, count_frames(image))


def _by_pillow(request: Request, path: Path, image: Image.Image, count: int) -> Decoded:
    """What Pillow opened, read by it, or by `sixteen` where it would cut colours to 8 bits."""
    from hvae_sr.imaging import sixteen
    from hvae_sr.imaging.deep import MODES

    if request.budget is not None:
        check_header(image, path, request.budget)
    tags = colour_tags(path, image.format)
    read_deep = sixteen.deep_reader(image, path)
    if read_deep is None and (
        _cut_to_eight_bits(image) or (tags.bits > 8 and "I" not in image.mode)
    ):
        warnings.warn(
            f"{path.name} has {max(tags.bits, 10)} bits a colour, of which 8 are read"
            if image.format in ("AVIF", "HEIF")
            else f"{path.name} has 16 bits a colour, of which 8 are read",
            stacklevel=1,
        )
    if count > 1 and image.format != "TIFF":
        seek_first(image)
    image.load()
    if request.budget is not None:
        check_metadata(image, path.name, request.budget)
    profile = image.info.get("icc_profile")
    refuse_hdr(path.name, tags, profile if isinstance(profile, bytes) else None)
    if tags.profile and (tags.replaces or not profile):
        image.info["icc_profile"] = tags.profile
    elif tags.replaces:
        image.info.pop("icc_profile", None)
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getbbox() is None:
        opaque = image.convert("RGB")  # no program that writes only zeros there means them
        opaque.format = "BMP"
        image = opaque
    plain = _plain(image, [], count)
    if read_deep is not None:
        values = read_deep()
        mode = MODES[values.shape[2]]
        info = {key: value for key, value in plain.info.items() if key != "transparency"}
        return Decoded(mode, plain.size, plain.format, None, info, [], values.tobytes(), count)
    if request.frames and count > 1 and image.format != "TIFF":
        _check_size(path.name, (image.width * count, image.height), request.largest)
        mode, pixels, durations = read_frames(image)
        info = {key: value for key, value in plain.info.items() if key != "transparency"}
        return Decoded(mode, plain.size, plain.format, None, info, [], pixels, count, durations)
    return plain


def _check_size(name: str, size: tuple[int, int], largest: int) -> None:
    width, height = size
    if width * height > largest:
        raise ImageError(
            f"{name} is {width}x{height}: at most {largest} pixels are read, shrink it"
        )


def _plain(image: Image.Image, said: list[str], count: int) -> Decoded:
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
    if texts := kept_texts(image):
        info["texts"] = texts
    if iptc := found_iptc(image):
        info["iptc"] = iptc
    info.pop("photoshop", None)
    return Decoded(
        image.mode, image.size, image.format, palette, info, said, image.tobytes(), count
    )


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
