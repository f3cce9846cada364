"""Frames of animations, as viewers show them; without torch."""

from PIL import Image

_STILL = ("MPO", "TIFF", "HEIF")  # further images of these are no frames
_DURATION = 100.0  # milliseconds of a frame whose file names none


def count_frames(image: Image.Image) -> int:
    """How many frames an opened file shows one after the other; 1 for a still image."""
    if image.format in _STILL:
        return 1
    return max(1, int(getattr(image, "n_frames", 1)) - _hidden(image))


def seek_first(image: Image.Image) -> None:
    """Go to the first frame that is shown: a PNG may hold a default image before it."""
    if _hidden(image):
        image.seek(1)


def read_frames(image: Image.Image) -> tuple[str, bytes, list[float]]:
    """Every shown frame, composed: their mode (RGB or RGBA), pixels, and milliseconds."""
    start = _hidden(image)
    frames, durations = [], []
    for index in range(start, start + count_frames(image)):
        image.seek(index)
        image.load()
        frames.append(image.convert("RGBA"))
        duration = image.info.get("duration", 0)
        durations.append(float(duration) if isinstance(duration, int | float) else 0)
    opaque = all(frame.getchannel("A").getextrema() == (255, 255) for frame in frames)
    mode = "RGB" if opaque else "RGBA"
    pixels = b"".join(frame.convert(mode).tobytes() for frame in frames)
    return mode, pixels, [each if each > 0 else _DURATION for each in durations]


def _hidden(image: Image.Image) -> int:
    """Frames before the first one that is shown."""
    return int(bool(image.info.get("default_image")) and getattr(image, "n_frames", 1) > 1)
