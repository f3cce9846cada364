"""Movies: every frame upscaled, everything else copied."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hvae_sr.atomic import atomic_write
from hvae_sr.errors import MovieError
from hvae_sr.imaging.metadata import record_text
from hvae_sr.upscaling.options import UpscaleOptions
from hvae_sr.upscaling.records import describe

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel


def upscale_movie(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    options: UpscaleOptions | None = None,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    checking: Callable[[int], None] | None = None,
) -> None:
    """Enlarge every frame of a movie; copy its sound, subtitles, chapters and tags.

    Each frame keeps its own time, so a variable frame rate stays one; the movie begins at 0,
    wherever its time stamps begin. Stamps that are equal or out of order are mended, see
    `timing.timeline`. Audio and subtitle streams are copied packet by packet; text subtitles
    become those that the container has (SubRip in Matroska, mov_text in MP4 and MOV, WebVTT in
    WebM) where it cannot hold them as they are. Fonts are copied into Matroska, while cover
    images, further video streams and data streams are left out, and so are chapters beside Windows
    Media, ADPCM, mu-law or AMR sound in Matroska. Tags that phones write into MOV and MP4 are
    kept. Rotation and mirroring are applied to the pixels. The colour matrix, range, primaries
    and transfer are kept; where no matrix is named, the one players assume at the source's size
    is applied and then named, since they would assume another at the larger size. Frames are
    encoded with 4:2:0 chroma, which at twice the size loses none, by H.264 (VP9 in WebM) at a
    nearly transparent quality. It needs even sides: an odd one is widened by repeating its last
    row or column.

    Before the long work the movie is read through twice, first without decoding, then decoded
    without the model (`decoding.rehearsed` says what that costs), so that whatever is refused is
    refused at once. Then a decoder, the model and an encoder work side by side, joined by queues
    of four frames: memory does not grow with the length, save for two numbers a frame. `target`
    appears when it is complete.

    Args:
        source: a movie of 8 bits a colour.
        target: its suffix chooses the container: .mp4 (or .m4v), .mkv, .mov or .webm.
        model: any model; it runs in the calling thread, on its own device.
        options: a seed that they leave out is drawn; it is the same for every frame, so that
            nothing flickers, and recorded. Frames are fitted into `size` with sides rounded down to
            even. There is one output, and no `quality`.
        progress: called after each frame with the frames done and how many there are.
        checking: called after each frame that was decoded before the work, with their number.

    Raises:
        MovieError: in one sentence, for a source that is damaged, cut short, interlaced,
            transparent, HDR, of more than 8 bits or too large; for a stream the container cannot
            hold; for options that movies do not have; and when the target cannot be written.
        ImageError: when three passes do not reach the size.
        ValueError, ModelError: as `Upscaler` does.
    """
    from hvae_sr.imaging.video import copying, decoding, reading, threads, writing
    from hvae_sr.upscaling.frames import Enlarger

    source, target = Path(source), Path(target)
    options = (options or UpscaleOptions()).with_seed()
    if options.num_samples > 1 or options.quality is not None:
        raise MovieError(f"{source} is a movie: leave samples and quality out")
    writing.container_of(target)
    copying.check_fits(source, target)
    facts = reading.survey(source)
    enlarger = Enlarger(model, facts, options, progress)
    times = decoding.rehearsed(source, facts, checking)
    enlarger.frames = len(times.shown)
    record = record_text(describe(model, options))
    try:
        with (
            atomic_write(target) as scratch,
            reading.opened(source) as movie,
            writing.Writer(scratch, target, movie, facts, times, enlarger.size) as writer,
        ):
            writer.note(record)
            frames = decoding.items(movie, facts, times, list(writer.copies), source)
            threads.run(frames, enlarger, writer.write)
    except OSError as error:
        raise MovieError(f"{target} could not be written: {error.strerror}") from error
