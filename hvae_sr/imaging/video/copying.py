"""Streams beside the video: packets copied into another container, text subtitles converted."""

import io
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av

from hvae_sr.errors import MovieError
from hvae_sr.imaging.video import CONTAINERS
from hvae_sr.imaging.video.reading import opened

COPIED = ("audio", "subtitle")
# Names of FFmpeg's decoders of text, and the one kind of text that each container is given.
TEXTS = ("mov_text", "subrip", "srt", "text", "webvtt", "ass", "ssa")
TEXT_OF = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
SPECIAL = "\\'[]|: \t\n"  # in the name of a file of the `tee` muxer
PREFERRED = (".mkv", ".mp4", ".mov", ".webm")  # where the source's own container cannot be written


def others(movie: Any) -> list[Any]:
    """The streams of an open movie that go along with its video."""
    return [stream for stream in movie.streams if stream.type in COPIED]


def fitting(movie: Any) -> list[str]:
    """One suffix of each container that can hold everything that goes along with the video."""
    suffixes = {container: suffix for suffix, container in reversed(CONTAINERS.items())}
    return [
        suffixes[container]
        for container in dict.fromkeys(CONTAINERS.values())
        if all(_fits(container, stream) for stream in others(movie))
    ]


def suffix_for(source: Path) -> str:
    """The suffix of an output nobody named: the source's own where that container can hold all.

    Otherwise the first of `PREFERRED` that can. A movie that cannot be read gets the one that it
    would get if it were silent.
    """
    own = source.suffix.lower()
    try:
        with opened(source) as movie:
            found = fitting(movie)
    except MovieError:  # which says the same, and why, when the movie is read
        found = list(PREFERRED)
    if own in CONTAINERS and any(CONTAINERS[own] == CONTAINERS[suffix] for suffix in found):
        return source.suffix
    return next((suffix for suffix in PREFERRED if suffix in found), PREFERRED[0])


def check_fits(source: Path, target: Path) -> None:
    """Refuse, before any work, a target whose container cannot hold what goes along.

    Raises:
        MovieError: naming the stream, and the containers that can hold it.
    """
    container = CONTAINERS[target.suffix.lower()]
    with opened(source) as movie:
        for stream in others(movie):
            if not _fits(container, stream):
                suffixes = fitting(movie)
                advice = f"write {' or '.join(suffixes)}" if suffixes else "remove it there"
                raise MovieError(
                    f"{target.suffix} cannot hold stream {stream.index} of the source "
                    f"({_name(stream)}, {stream.type}): {advice}"
                )


def copy_of(output: Any, container: str, source: Any, start: Fraction) -> "Copy | Conversion":
    """A stream of `output` for what `source` holds, its times counted from `start` on."""
    if _is_text(source) and not _holds(container, source):
        copy: Copy | Conversion = Conversion(output.add_stream(TEXT_OF[container]), source, start)
    else:
        copy = Copy(output.add_stream_from_template(source), start)
    copy.stream.metadata.update(source.metadata)
    copy.stream.disposition = source.disposition
    return copy


class Copy:
    """Packets into another container as they are, save that their times rise as it needs them.

    Args:
        stream: of the output.
        start: seconds that are taken off.
    """

    def __init__(self, stream: Any, start: Fraction):
        self.stream, self.start = stream, start
        self.latest: int | None = None
        self.next = 0

    def __call__(self, packet: Any) -> Iterator[Any]:
        offset = round(self.start / packet.time_base)
        time = packet.dts if packet.dts is not None else packet.pts
        time = self.next if time is None else time - offset
        if self.latest is not None:
            time = max(time, self.latest + 1)
        shown = time if packet.pts is None else packet.pts - offset
        self.latest, self.next = time, time + max(1, packet.duration or 0)
        packet.dts, packet.pts = time, max(time, shown)
        packet.stream = self.stream
        yield packet


class Conversion:
    """Text subtitles of one kind into another; bold, italic and underlined text stays so.

    Args:
        stream: of the output.
        source: the stream that packets come from.
        start: seconds that are taken off.
    """

    def __init__(self, stream: Any, source: Any, start: Fraction):
        self.stream, self.start, self.decoder = stream, start, source.codec_context
        self.decoder.open(strict=False)
        stream.time_base = stream.codec_context.time_base = source.time_base
        stream.codec_context.subtitle_header = self.decoder.subtitle_header

    def __call__(self, packet: Any) -> Iterator[Any]:
        try:
            words = self.decoder.decode2(packet)
        except av.FFmpegError as error:
            raise MovieError(
                f"stream {packet.stream_index} holds damaged subtitles, which cannot be converted: "
                "write .mkv, which takes them as they are"
            ) from error
        if packet.pts is None or words is None or not len(words):  # a pause, in MP4
            return
        begin = packet.pts - round(self.start / packet.time_base)
        end = begin + (packet.duration or 0)
        text = self.stream.codec_context.encode_subtitle(words)
        text.pts = text.dts = max(0, begin)
        text.duration, text.time_base = max(1, end - text.pts), packet.time_base
        text.stream = self.stream
        yield text


def needs_acm(container: str, streams: list[Any]) -> bool:
    """Whether Matroska holds one of these only as Windows' own kind of sound.

    PyAV does not ask it for that: the `tee` muxer, which asks for nothing, stands between.
    """
    return any(_by_acm(container, stream) and not _holds(container, stream) for stream in streams)


def _name(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown codec"


def _fits(container: str, stream: Any) -> bool:
    return _holds(container, stream) or _by_acm(container, stream) or _is_text(stream)


def _holds(container: str, stream: Any) -> bool:
    """Whether a container's header takes a stream as it is, which only writing one tells."""
    if stream.codec_context is None or stream.codec_context.codec.name not in _codecs(container):
        return False
    if container == "mp4" and _is_unplaced(stream):
        return False
    return _header_takes(av.open(io.BytesIO(), "w", format=container), stream)


def _is_unplaced(stream: Any) -> bool:
    """PCM whose loudspeakers nobody names, as in MXF: MP4 wants them, but says so at its end."""
    return stream.type == "audio" and (
        stream.codec_context.codec.name.startswith("pcm_") and "channels" in stream.layout.name
    )


def _by_acm(container: str, stream: Any) -> bool:
    """Windows Media, ADPCM, mu-law, AMR: most of what WAV has a number for."""
    if container != "matroska" or stream.type != "audio" or stream.codec_context is None:
        return False
    if stream.codec_context.codec.name not in _codecs("wav"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        return _header_takes(av.open(tee(container, Path(folder) / "a"), "w", format="tee"), stream)


def _header_takes(output: Any, stream: Any) -> bool:
    try:
        with output:
            output.add_stream_from_template(stream)
            output.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def tee(container: str, file: Path) -> str:
    """What the `tee` muxer is told to write a file with."""
    name = f"file:{file.absolute()}"
    escaped = "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in name)
    return f"[f={container}]{escaped}"


def _is_text(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec.name in TEXTS


@cache
def _codecs(container: str) -> frozenset[str]:
    return frozenset(av.open("unwritten", "w", format=container).supported_codecs)
