"""Movies in: opened within limits, and surveyed packet by packet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

from hvae_sr.errors import HvaeSrError, MovieError
from hvae_sr.imaging.video.colours import Colours, transparent

# Playlists and their like, which make a decoder open other files or addresses, are not among them.
DEMUXERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,mxf,dv"
LARGEST_FRAME = 2**25  # pixels of a source's frame: 8K
TOLERANCE = 1.0  # seconds that a container may promise and not hold
LONGEST_GAP = 6 * 3600  # seconds between two packets of a stream: MP4 has 31 bits at 90 kHz
PER_FRAME = 400  # packets of all streams for each frame, where frames are limited
# What decoders, encoders and PyAV raise beside errors of FFmpeg.
UNEXPECTED = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Turn:
    """A quarter turn or mirroring of pixels: first swap the axes, then reverse them."""

    swapped: bool
    rows: bool
    columns: bool

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, 3) -> (h, w, 3), or (w, h, 3) when the axes are swapped."""
        if self.swapped:
            pixels = pixels.swapaxes(0, 1)
        if self.rows:
            pixels = pixels[::-1]
        if self.columns:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True)
class Facts:
    """What is known of a movie before its frames are decoded.

    Args:
        index: of the video stream.
        width, height: of an upright frame, in pixels.
        aspect: width of an upright pixel divided by its height.
        frames: about how many there are; None when unknown.
        time_base: the unit of times, in seconds.
        rate: frames per second, on average.
    """

    index: int
    width: int
    height: int
    aspect: Fraction
    turn: Turn
    colours: Colours
    frames: int | None
    time_base: Fraction
    rate: Fraction


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn a decoder's errors into one sentence about this file."""
    try:
        yield
    except HvaeSrError:
        raise
    except FileNotFoundError as error:
        raise MovieError(f"{path.name} does not exist") from error
    except PermissionError as error:
        raise MovieError(f"{path.name} may not be read: change its permissions") from error
    except av.DecoderNotFoundError as error:
        raise MovieError(f"{path.name} uses a codec that is not known here") from error
    except (av.FFmpegError, *UNEXPECTED) as error:
        raise MovieError(
            f"{path.name} is damaged, cut short or not a movie in a format read here: "
            "export it again from its source"
        ) from error


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A movie file, open for reading: local, and never a playlist that leads elsewhere."""
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "max_pixels": str(LARGEST_FRAME),
    }
    with readable(path):
        movie = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    with movie:
        yield movie


def survey(path: Path, largest: int = LARGEST_FRAME, most: int | None = None) -> Facts:
    """Read a movie through, decoding its first frame only, and check that it can be upscaled.

    Args:
        largest: most pixels of a frame, known before one is decoded.
        most: frames after which no more are read; a movie of more is reported with more.

    Raises:
        MovieError: see `upscale_movie`.
    """
    with opened(path) as movie, readable(path):
        stream = _main_video(movie, path, largest)
        first, packets, end = None, 0, 0.0
        for packet in _followed(movie, path, most):
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index == stream.index:
                packets += bool(packet.size) and not packet.is_discard
                if first is None:
                    first = next(iter(packet.decode()), None)
            if most is not None and packets > most and first is not None:
                break
        else:
            if end < _promised_end(movie) - TOLERANCE:
                raise damaged(path)
        if first is None:
            raise MovieError(f"{path.name} has no frame that can be decoded")
        return _facts(first, packets, stream, path)


def _followed(movie: Any, path: Path, most: int | None) -> Iterator[Any]:
    """Every packet of a movie, none of them damaged or long after the one before.

    Raises:
        MovieError: otherwise, and for far more packets than `most` frames need.
    """
    latest: dict[int, int] = {}
    for count, packet in enumerate(movie.demux()):
        if packet.is_corrupt:
            raise damaged(path)
        if most is not None and count > most * PER_FRAME:
            raise MovieError(f"{path.name} is cut into too many packets: export it again")
        time = packet.dts if packet.dts is not None else packet.pts
        if time is not None:
            gap = float((time - latest.get(packet.stream_index, time)) * packet.time_base)
            if gap > LONGEST_GAP:
                raise MovieError(
                    f"{path.name} has a gap of {gap / 3600:.0f} hours: cut it there into two movies"
                )
            latest[packet.stream_index] = time
        yield packet


def _promised_end(movie: Any) -> float:
    """When a movie ends by its header, in seconds.

    In Matroska the duration counts from 0 or from the first frame, as its writer liked.
    """
    late = 0 if movie.format.name.startswith("matroska") else movie.start_time or 0
    return (late + (movie.duration or 0)) / av.time_base


def _main_video(movie: Any, path: Path, largest: int) -> Any:
    flag = av.stream.Disposition.attached_pic
    streams = [stream for stream in movie.streams.video if not stream.disposition & flag]
    if not streams:
        raise MovieError(f"{path.name} has no video stream")
    stream = streams[0]
    if stream.codec_context is None:
        raise MovieError(f"{path.name} uses a codec that is not known here")
    if "1" in (text for key, text in stream.metadata.items() if key.lower() == "alpha_mode"):
        # Beside the colours, in packets that the decoder does not see.
        raise transparent(path.name)
    _check_size(stream.codec_context.width, stream.codec_context.height, path, largest)
    bound(stream, largest)
    return stream


def bound(stream: Any, largest: int = LARGEST_FRAME) -> None:
    """Use all cores, and let no frame be larger than the header promised."""
    stream.codec_context.options = {"max_pixels": str(largest)}
    stream.thread_type = "AUTO"


def _check_size(width: int, height: int, path: Path, largest: int) -> None:
    if width * height > largest:
        raise MovieError(
            f"{path.name} has frames of {width}x{height}: at most {largest} pixels are read"
        )


def damaged(path: Path) -> MovieError:
    return MovieError(
        f"{path.name} is damaged or cut short: fetch it again, or keep what is whole with "
        "ffmpeg -fflags +discardcorrupt -i IN -c copy OUT.mkv"
    )


def _facts(frame: Any, packets: int, stream: Any, path: Path) -> Facts:
    turn = _turn(frame, path)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = frame.width, frame.height
    if turn.swapped:
        width, height, aspect = height, width, 1 / aspect
    return Facts(
        index=stream.index,
        width=width,
        height=height,
        aspect=aspect,
        turn=turn,
        colours=Colours.of(frame, path.name),
        frames=packets or None,
        time_base=stream.time_base,
        rate=stream.average_rate or stream.guessed_rate or Fraction(25),
    )


def _turn(frame: Any, path: Path) -> Turn:
    """From the display matrix (a b 0, c d 0, x y 1), by which x' = ax + cy and y' = bx + dy."""
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return Turn(False, False, False)
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    if b == c == 0 and a and d:
        return Turn(False, d < 0, a < 0)
    if a == d == 0 and b and c:
        return Turn(True, b < 0, c < 0)
    raise MovieError(f"{path.name} is turned by other than quarter turns: turn it upright first")
