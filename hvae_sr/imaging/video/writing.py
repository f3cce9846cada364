"""Movies out: frames encoded, packets copied into a container."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.codec.context import Flags

from hvae_sr.errors import HvaeSrError, MovieError
from hvae_sr.imaging.video import CONTAINERS
from hvae_sr.imaging.video.colours import FromRGB
from hvae_sr.imaging.video.copying import copy_of, needs_acm, others, tee
from hvae_sr.imaging.video.decoding import Frame
from hvae_sr.imaging.video.reading import UNEXPECTED, Facts
from hvae_sr.imaging.video.timing import Timeline

H264 = ("libx264", {"crf": "16", "preset": "fast"})
VP9 = ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"})
ENCODERS = {"mp4": H264, "matroska": H264, "mov": H264, "webm": VP9}
OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # of each container
VIDEO_TAGS = {"language", "title", "handler_name"}
PHONES = ("com.apple.", "com.android.")  # that tags of phones begin with, in MOV and MP4


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
        times: of its frames; the same start is taken off everything else.
        size: (width, height) of the frames in the file, both even.

    Raises:
        MovieError: for what the container or the disk refuses.
    """

    def __init__(
        self,
        scratch: Path,
        target: Path,
        movie: Any,
        facts: Facts,
        times: Timeline,
        size: tuple[int, int],
    ):
        self.target, self.facts, self.times, self.size = target, facts, times, size
        self.from_rgb = FromRGB(facts.colours, *size)
        container, tags = container_of(target), self._tags(movie)
        with writable(target):
            self.output = _opened(scratch, container, others(movie), tags)
            self.video = self._encoder(container, movie.streams[facts.index])
            self.copies = {
                stream.index: copy_of(self.output, container, stream, times.start)
                for stream in others(movie)
            }
            if container == "matroska":
                for stream in movie.streams.attachments:
                    self.output.add_stream_from_template(stream)
            self.output.metadata.update(tags)
            self.output.set_chapters(self._chapters(movie))

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
                    self.output.mux(list(self.copies[item.stream_index](item)))
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
        image.pts, image.time_base = frame.pts, self.times.time_base
        return image

    def _encoder(self, container: str, source: Any) -> Any:
        codec, options = ENCODERS[container]
        stream: Any = self.output.add_stream(codec, rate=self.facts.rate, options=dict(options))
        context = stream.codec_context
        context.width, context.height = self.size
        context.pix_fmt = "yuv420p"
        context.sample_aspect_ratio = self.facts.aspect
        context.time_base = stream.time_base = self.times.time_base
        context.flags |= Flags.global_header  # which `tee` does not ask for
        self.facts.colours.tag(context)
        stream.metadata.update({k: v for k, v in source.metadata.items() if k in VIDEO_TAGS})
        stream.disposition = source.disposition
        return stream

    def _tags(self, movie: Any) -> dict[str, str]:
        """What a movie says of itself: where, when and by which camera it was taken, too."""
        return {
            _spelt(key): text for key, text in movie.metadata.items() if key.lower() not in OWN_TAGS
        }

    def _chapters(self, movie: Any) -> list[dict[str, Any]]:
        def moved(chapter: Any, time: int) -> int:
            return max(0, time - round(self.times.start / chapter["time_base"]))

        return [
            {**each, "start": moved(each, each["start"]), "end": moved(each, each["end"])}
            for each in movie.chapters()
        ]


def _spelt(key: str) -> str:
    """The name of a tag as phones spell it, which Matroska writes in capitals."""
    if key.isupper() and key.lower().startswith(PHONES):
        return key.lower().replace("iso6709", "ISO6709")
    return key.lower() if key == "COMMENT" else key


def _opened(scratch: Path, container: str, streams: list[Any], tags: dict[str, str]) -> Any:
    if needs_acm(container, streams):
        return av.open(tee(container, scratch), "w", format="tee")
    mov = container in ("mp4", "mov") and any(key.startswith(PHONES) for key in tags)
    # A list of tags of any name, in place of the few that iTunes knows.
    options = {"movflags": "use_metadata_tags"} if mov else {}
    return av.open(f"file:{scratch.absolute()}", "w", format=container, options=options)
