"""Movies out: frames encoded, packets copied into a container."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from hvae_sr.errors import HvaeSrError, MovieError
from hvae_sr.imaging.video import CONTAINERS
from hvae_sr.imaging.video.colours import FromRGB
from hvae_sr.imaging.video.reading import UNEXPECTED, Facts, Frame

H264 = ("libx264", {"crf": "16", "preset": "fast"})
VP9 = ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"})
ENCODERS = {"mp4": H264, "matroska": H264, "mov": H264, "webm": VP9}
OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # of each container
VIDEO_TAGS = {"language", "title", "handler_name"}
COPIED = ("audio", "subtitle")


def container_of(target: Path) -> str:
    """The container that a path's suffix names.

    Raises:
        MovieError: when none written here has that suffix.
    """
    container = CONTAINERS.get(target.suffix.lower())
    if container is None:
        raise MovieError(
            f"{target.name}: cannot write {target.suffix!r}, use one of {', '.join(CONTAINERS)}"
        )
    return container


def fitting(movie: Any) -> list[str]:
    """Suffixes of the containers that can hold every stream of an open movie that is copied."""
    every = [stream for stream in movie.streams if stream.type in COPIED]
    return [
        suffix
        for suffix, container in CONTAINERS.items()
        if all(_holds(av.open("unwritten", "w", format=container), s) for s in every)
    ]


@contextmanager
def writable(target: Path) -> Iterator[None]:
    """Turn an encoder's, a container's or the disk's errors into one sentence."""
    try:
        yield
    except HvaeSrError:
        raise
    except (av.FFmpegError, OSError, *UNEXPECTED) as error:
        reason = getattr(error, "strerror", None) or error
        raise MovieError(f"{target} could not be written: {reason}") from error


class Writer:
    """An output movie: one encoded video stream, and copies of what the source has beside it.

    Args:
        scratch: the file to write.
        target: what it will be called, for error messages.
        movie: the source, open.
        size: (width, height) of the frames in the file, both even.

    Raises:
        MovieError: for a stream the container cannot hold, and for what the disk refuses.
    """

    def __init__(
        self, scratch: Path, target: Path, movie: Any, facts: Facts, size: tuple[int, int]
    ):
        self.target, self.facts, self.size = target, facts, size
        self.from_rgb = FromRGB(facts.colours, *size)
        container = container_of(target)
        with writable(target):
            self.output = av.open(f"file:{scratch.absolute()}", "w", format=container)
            self.video = self._encoder(container, movie.streams[facts.index])
            self.copies = {
                stream.index: self._copy(stream, movie)
                for stream in movie.streams
                if stream.type in COPIED
            }
            if container == "matroska":
                for stream in movie.streams.attachments:
                    self.output.add_stream_from_template(stream)
            tags = {key: text for key, text in movie.metadata.items() if key not in OWN_TAGS}
            self.output.metadata.update(tags)
            self.output.set_chapters(movie.chapters())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(av.FFmpegError, OSError):  # what matters of them `write` has raised
            self.output.close()

    def note(self, text: str) -> None:
        """Add a line to the movie's comment."""
        lines = [self.output.metadata.get("comment"), text]
        self.output.metadata["comment"] = "\n".join(line for line in lines if line)

    def write(self, items: Iterator[Any]) -> None:
        """Encode and copy, to the end of the file: `Frame`s and packets of copied streams."""
        durations: dict[int, int] = {}
        with writable(self.target):
            for item in items:
                if isinstance(item, Frame):
                    durations[item.pts] = item.duration
                    self._mux(self.video.encode(self._converted(item)), durations)
                else:
                    item.stream = self.copies[item.stream_index]
                    self.output.mux(item)
            self._mux(self.video.encode(None), durations)
            self.output.close()

    def _mux(self, packets: list[Any], durations: dict[int, int]) -> None:
        for packet in packets:
            # Encoders forget durations, and the last frame's is the end of the movie.
            packet.duration = durations.pop(packet.pts)
            self.output.mux(packet)

    def _converted(self, frame: Frame) -> Any:
        rgb = av.VideoFrame.from_numpy_buffer(frame.pixels, "rgb24")
        image = self.from_rgb(rgb)
        image.pts, image.time_base = frame.pts, self.facts.time_base
        return image

    def _encoder(self, container: str, source: Any) -> Any:
        codec, options = ENCODERS[container]
        stream: Any = self.output.add_stream(codec, rate=self.facts.rate, options=dict(options))
        context = stream.codec_context
        context.width, context.height = self.size
        context.pix_fmt = "yuv420p"
        context.sample_aspect_ratio = self.facts.aspect
        context.time_base = stream.time_base = self.facts.time_base
        self.facts.colours.tag(context)
        stream.metadata.update({k: v for k, v in source.metadata.items() if k in VIDEO_TAGS})
        stream.disposition = source.disposition
        return stream

    def _copy(self, source: Any, movie: Any) -> Any:
        if not _holds(self.output, source):
            suffixes = fitting(movie)
            advice = f"write {' or '.join(suffixes)}" if suffixes else "remove it from the source"
            raise MovieError(
                f"{self.target.suffix} cannot hold stream {source.index} of the source "
                f"({_name(source)}, {source.type}): {advice}"
            )
        stream = self.output.add_stream_from_template(source)
        stream.metadata.update(source.metadata)
        stream.disposition = source.disposition
        return stream


def _name(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown codec"


def _holds(output: Any, stream: Any) -> bool:
    context = stream.codec_context
    return context is not None and context.codec.name in output.supported_codecs
