"""Which RGB the numbers of a movie mean, and back; code points are those of ITU-T H.273."""

from dataclasses import dataclass

import av
from av.video.reformatter import Interpolation, VideoReformatter

from hvae_sr.errors import MovieError

RGB, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 6
UNNAMED = (RGB, UNSPECIFIED, 3)  # as matrix of YCbCr frames; 3 is reserved
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # -> swscale's own numbers
HDR = {16: "PQ", 18: "HLG"}
LIMITED, FULL = 1, 2
RESAMPLING = (  # without the last three, chroma is repeated and rounding errors add up
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class Colours:
    """The colour tags of a movie, its matrix always named.

    Args:
        matrix: of YCbCr.
        extent: 1 for 16 to 235, 2 for 0 to 255, 0 when the movie leaves it open (meaning 1).
        primaries, transfer: kept as they are, never converted.
    """

    matrix: int
    extent: int
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: av.VideoFrame, name: str) -> "Colours":
        """The tags of a frame of the movie `name`.

        Raises:
            MovieError: for HDR, more than 8 bits, transparency, or a matrix unknown here.
        """
        components = frame.format.components
        bits = max(component.bits for component in components)
        if frame.color_trc in HDR:
            raise MovieError(
                f"{name} is HDR ({HDR[frame.color_trc]}), which 8-bit models cannot keep: "
                "convert it to SDR first"
            )
        if bits > 8:
            raise MovieError(f"{name} has {bits} bits a colour: convert it to 8 bits first")
        if any(component.is_alpha for component in components):
            raise transparent(name)
        extent, matrix = frame.color_range, frame.colorspace
        if frame.format.is_rgb:
            extent, matrix = LIMITED, BT709
        elif frame.format.name.startswith("yuvj"):
            extent = FULL
        if matrix in UNNAMED:
            matrix = BT709 if frame.width >= 1280 or frame.height > 576 else BT601
        if matrix not in MATRICES:
            raise MovieError(f"{name} uses colour matrix {matrix}: convert it to BT.709 first")
        return cls(matrix, extent, frame.color_primaries, frame.color_trc)

    def tag(self, target: av.VideoFrame | av.VideoCodecContext) -> None:
        """Write the tags into a frame or an encoder."""
        target.colorspace = self.matrix
        target.color_range = self.extent
        target.color_primaries = self.primaries
        target.color_trc = self.transfer


def transparent(name: str) -> MovieError:
    """The refusal of a movie whose transparency would be lost."""
    return MovieError(f"{name} has transparency, which would be lost: flatten it first")


class ToRGB:
    """Decoded frames -> full-range rgb24 frames of the same size."""

    def __init__(self, colours: Colours):
        self.colours, self.reformatter = colours, VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        return self.reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=MATRICES[self.colours.matrix],
            src_color_range=self.colours.extent or LIMITED,
            dst_color_range=FULL,
            interpolation=RESAMPLING,
        )


class FromRGB:
    """Full-range rgb24 frames -> tagged yuv420p frames of one size, resampled bicubically."""

    def __init__(self, colours: Colours, width: int, height: int):
        self.colours, self.reformatter = colours, VideoReformatter()
        self.width, self.height = width, height

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        converted = self.reformatter.reformat(
            frame,
            self.width,
            self.height,
            "yuv420p",
            src_color_range=FULL,
            dst_colorspace=MATRICES[self.colours.matrix],
            dst_color_range=self.colours.extent or LIMITED,
            interpolation=RESAMPLING,
        )
        self.colours.tag(converted)
        return converted
