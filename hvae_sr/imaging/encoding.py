"""Images of 16 bits a channel as files, which Pillow does not write, and animations."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base

from hvae_sr.errors import ImageError
from hvae_sr.imaging.deep import DeepImage

_STRAIGHT_ALPHA = 2
_EXTRA_SAMPLES, _PLANAR, _PROFILE = 338, 284, 34675
_UNITS = {"GIF": 10, "WEBP": 1, "AVIF": 1}  # milliseconds that durations are multiples of
_LARGEST_TIFF = 2**32 - 2**24  # bytes that its places of 32 bits reach, with room for metadata
_PIXELS = (b"IHDR", b"IDAT", b"IEND")


def write_deep(image: DeepImage, path: Path, kind: str, options: dict[str, Any]) -> None:
    """Write an image of 16 bits a channel.

    Args:
        kind: PNG, TIFF or PPM (which holds RGB alone).
        options: what Pillow's encoder of the format would take.

    Raises:
        ImageError: for more than a TIFF holds.
        OSError: when the disk refuses it.
    """
    writers = {"PNG": _write_png, "TIFF": _write_tiff, "PPM": _write_ppm}
    writers[kind](image, path, options)


def save_frames(
    frames: Sequence[Image.Image],
    path: Path,
    kind: str,
    durations: Sequence[float],
    loop: int | None,
    options: dict[str, Any],
) -> None:
    """Write an animation.

    Args:
        durations: of the frames, in milliseconds.
        loop: how often it is shown, 0 for ever, None for what the format does unasked.

    Raises:
        OSError, ValueError: as Pillow's encoders do.
    """
    times = _in_units(durations, _UNITS[kind]) if kind in _UNITS else list(durations)
    repeat = {} if loop is None or kind == "AVIF" else {"loop": loop}
    if kind == "GIF" and loop:  # which counts the times after the first
        repeat = {"loop": loop - 1} if loop > 1 else {}
    first, *rest = frames
    # Frames replace one another whole, so that transparent ones leave nothing of the last.
    whole = {"GIF": {"disposal": 2}, "PNG": {"blend": 0}}.get(kind, {})
    first.save(
        path, format=kind, save_all=True, append_images=rest, duration=times,
        **repeat, **whole, **options,
    )  # fmt: skip


def _in_units(durations: Sequence[float], unit: int) -> list[int]:
    """Durations in whole units, in milliseconds, whose sums stay as close as they can.

    Each is at least one unit; rounded one by one, 60 frames of 33 ms would be a GIF of 1.8 s.
    """
    times, end, shown = [], 0.0, 0
    for duration in durations:
        end += duration
        times.append(max(1, round((end - shown) / unit)) * unit)
        shown += times[-1]
    return times


def _write_png(image: DeepImage, path: Path, options: dict[str, Any]) -> None:
    encoded = imagecodecs.png_encode(image.array, level=6)
    carrier = io.BytesIO()
    grey = Image.new("L" if image.channels < 3 else "RGB", (1, 1))
    grey.save(carrier, format="PNG", **options)
    beside = b"".join(whole for kind, whole in _chunks(carrier.getvalue()) if kind not in _PIXELS)
    start = 33  # behind the signature and IHDR
    with path.open("wb") as file:
        file.write(encoded[:start])
        file.write(beside)
        file.write(memoryview(encoded)[start:])


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        whole = png[position : position + 12 + length]
        yield whole[4:8], whole
        position += len(whole)


def _write_tiff(image: DeepImage, path: Path, options: dict[str, Any]) -> None:
    """One strip of little-endian values behind the tags, as Pillow writes its own."""
    if image.array.nbytes > _LARGEST_TIFF:
        raise ImageError(f"{path.name} cannot hold {image.array.nbytes} bytes: use PNG")
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    exif = options.get("exif")
    if isinstance(exif, Image.Exif):
        for tag in exif:
            part = exif.get_ifd(tag) if tag in (0x8769, 0x8825) else None
            if part:
                tags.tagtype[tag] = 4
                tags[tag] = dict(part)
            elif part is None:
                tags[tag] = exif[tag]
    tags[Base.ImageWidth], tags[Base.ImageLength] = image.size
    tags[Base.BitsPerSample] = (16,) * image.channels
    tags[Base.Compression] = 1
    tags[Base.PhotometricInterpretation] = 2 if image.channels > 2 else 1
    tags[Base.SamplesPerPixel] = image.channels
    tags[Base.RowsPerStrip] = image.height
    tags[Base.StripByteCounts] = image.array.nbytes
    tags[Base.StripOffsets] = 0  # which is counted from the end of the tags
    tags[_PLANAR] = 1
    if image.has_alpha:
        tags[_EXTRA_SAMPLES] = _STRAIGHT_ALPHA
    if profile := options.get("icc_profile"):
        tags.tagtype[_PROFILE] = 7
        tags[_PROFILE] = profile
    if dpi := options.get("dpi"):
        tags[Base.ResolutionUnit] = 2
        tags[Base.XResolution], tags[Base.YResolution] = dpi
    with path.open("wb") as file:
        tags.save(file)
        file.write(np.ascontiguousarray(image.array, "<u2").data)


def _write_ppm(image: DeepImage, path: Path, options: dict[str, Any]) -> None:
    with path.open("wb") as file:
        file.write(b"P6\n%d %d\n65535\n" % image.size)
        for row in image.array:
            file.write(row.astype(">u2").tobytes())
