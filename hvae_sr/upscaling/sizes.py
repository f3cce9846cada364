"""Sizes as people write them: "4k", "1080p", "1920x1200"."""

import math
import re

from hvae_sr.errors import ImageError

NAMED = {
    "480p": (854, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2160p": (3840, 2160),
    "4320p": (7680, 4320),
    "2k": (2048, 1080),
    "4k": (3840, 2160),
    "8k": (7680, 4320),
}
LONGEST = 2**16  # pixels of one side; PNG, WebP and JPEG viewers give up far earlier
MOST_PASSES = 3
LEFT = 1.25  # by which resampling may enlarge what one more pass would enlarge at its whole cost


def parse_size(text: str) -> tuple[int, int]:
    """A name such as "4k" or "1080p", or "WIDTHxHEIGHT" -> (width, height) in pixels.

    "4k" and "8k" mean the sizes of screens (3840x2160, 7680x4320), "2k" the cinema's 2048x1080.

    Raises:
        ImageError: for anything else, and for sides of 0 or above 65536 pixels.
    """
    wanted = text.strip().lower()
    if wanted in NAMED:
        return NAMED[wanted]
    match = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", wanted)
    if match is None or not all(1 <= int(side) <= LONGEST for side in match.groups()):
        raise ImageError(
            f"{text!r} is not a size: use WIDTHxHEIGHT in pixels, such as 1920x1080, or one of "
            f"{', '.join(NAMED)}"
        )
    return int(match[1]), int(match[2])


def fitted(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same aspect ratio inside `size`, each side rounded, at least 1.

    Nothing is shrunk: what is larger already keeps its size. The size of a screen (one of `NAMED`)
    is turned for an upright image, as a screen would be.
    """
    if size in NAMED.values() and height > width:
        size = size[::-1]
    factor = max(1.0, min(size[0] / width, size[1] / height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def passes(width: int, height: int, target: tuple[int, int], scale: int) -> int:
    """How often a model of this scale must run so that shrinking, or next to nothing, is left.

    A pass costs as much as all before it together, times the scale squared: where one less comes
    within `LEFT` of the target, resampling does the rest (640x480 to 2880x2160 by a x4 model: one
    pass of 0.3 megapixels, not a second one of 5, whose 79 would be shrunk to 6).

    Raises:
        ImageError: when that is more than three times, or the model does not enlarge.
    """
    if scale == 1:
        raise ImageError("this model does not enlarge: choose one whose scale is 2 or more")
    factor = max(target[0] / width, target[1] / height)
    needed = max(0, math.ceil(math.log(factor, scale) - 1e-9))
    if needed > 1 and factor <= LEFT * scale ** (needed - 1):
        needed -= 1
    if needed > MOST_PASSES:
        raise ImageError(
            f"{width}x{height} is too small for {target[0]}x{target[1]}: at most "
            f"{width * scale**MOST_PASSES}x{height * scale**MOST_PASSES} in {MOST_PASSES} passes "
            f"of a x{scale} model, ask for less"
        )
    return needed
