"""The tab "Movie": a short clip in, the same clip with larger frames and its own sound out."""

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr

from hvae_sr.demo import jobs
from hvae_sr.demo.shared import (
    LARGEST_WORK,
    Models,
    menu,
    new_folder,
    readable,
    uploaded_path,
)
from hvae_sr.errors import MovieError
from hvae_sr.imaging.video import reading, writing
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.upscaling.video import upscale_movie

FIRST = "photo-cnn-x2"  # what the menu starts with where it has it: the fastest
MOST_FRAMES = 250
LARGEST_MOVIE = 2**25  # pixels of all frames together: minutes, not hours
PREFERRED = ".mp4"  # the container that every browser plays

LIMITS = (
    f"At most {MOST_FRAMES} frames and {LARGEST_MOVIE // 2**20} megapixels in all: "
    "ten seconds of 400 x 300, for example. Sound and subtitles are copied."
)
CANCELLED = "<p>Cancelled.</p>"

Report = Callable[[int, int | None], None]


class _StoppedError(Exception):
    """Nobody waits for this movie any more."""


def checked(path: str | None) -> tuple[Path, reading.Facts]:
    """An uploaded clip within the demo's limits; of its frames only the first is decoded.

    Raises:
        MovieError: for no clip, no longer a clip, a broken one, or one too large.
    """
    if not path or not Path(path).is_file():
        raise MovieError("there is no movie: choose one first, or upload it again")
    clip = Path(path)
    facts = reading.survey(clip, largest=LARGEST_WORK, most=MOST_FRAMES)
    frames = facts.frames or 1
    if frames > MOST_FRAMES:
        raise MovieError(
            f"{clip.name} has {frames} frames: the demo takes at most {MOST_FRAMES}, so cut it"
        )
    if frames * facts.width * facts.height > LARGEST_MOVIE:
        allowed = LARGEST_MOVIE // (facts.width * facts.height)
        raise MovieError(
            f"{frames} frames of {facts.width}x{facts.height} are too much for the demo: cut "
            f"{clip.name} to {allowed} frames, or shrink it"
        )
    return clip, facts


def suffix_for(clip: Path) -> str:
    """Of a container that holds every stream of the clip; the preferred one where none does."""
    with reading.opened(clip) as movie:
        suffixes = writing.fitting(movie)
    return PREFERRED if PREFERRED in suffixes or not suffixes else suffixes[0]


def enlarged(clip: Path, target: Path, model: SuperResolutionModel) -> Iterator[int]:
    """Write `target` in a thread of its own, yielding the number of frames done after each.

    Closing the iterator ends the work at its next frame and leaves nothing behind, not even the
    folder of `target`, which must be empty.

    Raises:
        HvaeSrError: see `upscale_movie`.
    """
    stop = threading.Event()

    def work(report: Report) -> None:
        try:
            upscale_movie(clip, target, model, progress=report)
        except BaseException:
            target.parent.rmdir()  # `upscale_movie` has removed what it began in it
            raise

    reports: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def report(done: int, total: int | None) -> None:
        if stop.is_set():
            raise _StoppedError
        jobs.check()
        if done > MOST_FRAMES:  # the packets promised fewer
            raise MovieError(f"{clip.name} has more frames than the {MOST_FRAMES} the demo takes")
        reports.put(done)

    pool = ThreadPoolExecutor(1, thread_name_prefix="movie of the demo")
    # In this context, so that the work knows its job and ends with it.
    done = pool.submit(contextvars.copy_context().run, work, report)
    done.add_done_callback(lambda _: reports.put(None))
    try:
        yield from iter(reports.get, None)
        done.result()
    finally:
        stop.set()
        pool.shutdown(wait=False)  # gradio closes iterators on its event loop, which must not wait


def tab(models: Models) -> None:
    """Lay out the tab and connect it; inside `gr.Blocks`."""
    models = dict(sorted(models.items(), key=lambda item: isinstance(item[1], GenerativeModel)))

    def movie(clip: str | None, model: str) -> Iterator[tuple]:
        """Enlarge every frame of a short movie; its sound and subtitles are copied.

        Args:
            clip: MP4, MKV, MOV, WebM or another common format; at most 250 frames and 33554432
                pixels in all of them together.
            model: a name from the menu.

        Returns:
            the movie, in MP4, or in Matroska where MP4 cannot hold its streams
            how far the work is, and at its end the size, frames and time, as HTML
            the movie again, to download
        """
        start = time.perf_counter()
        with readable():
            source, facts = checked(clip)
            chosen = models[model]
            name = f"{source.stem}-x{chosen.scale}{suffix_for(source)}"
            target = new_folder(box) / name
            frames = facts.frames or MOST_FRAMES
            jobs.allow({chosen: frames * facts.width * facts.height})
            for done in enlarged(source, target, chosen):
                yield gr.skip(), _bar(done, facts.frames), gr.skip()
        size = f"{facts.width * chosen.scale} x {facts.height * chosen.scale}"
        seconds = time.perf_counter() - start
        said = f"<p><b>{size}</b> from {facts.width} x {facts.height} · {done} frames"
        yield str(target), f"{said} · {seconds:.1f} s</p>", str(target)

    with gr.Tab("Movie", id="movie", elem_id="tab-movie"), gr.Row():
        with gr.Column(scale=2, min_width=320):
            box = gr.Video(
                sources=["upload"], buttons=[], height=256, label="Movie", elem_id="clip"
            )
            box.preprocess = uploaded_path
            name = menu(models, FIRST)
            gr.Markdown(LIMITS, elem_classes="note")
            with gr.Row():
                button = gr.Button("Upscale the movie", variant="primary", size="lg")
                cancel = gr.Button("Cancel", size="lg")
            # Beside the progress, whose last frame may arrive after the cancellation.
            cancelled = gr.HTML(label="Whether the movie was cancelled", elem_classes="note")
        with gr.Column(scale=3, min_width=320):
            result = gr.Video(
                interactive=False,
                buttons=["download"],
                height=480,
                label="The movie, enlarged",
                elem_id="film",
            )
            said = gr.HTML(label="Progress, then size and time", elem_classes="figures")
            download = gr.DownloadButton("Download the movie", interactive=False, size="md")

    # In the browser alone: an answer of the server could arrive after that of "Cancel".
    button.click(None, None, cancelled, js="() => ''", api_visibility="private")
    running = button.click(
        movie,
        [box, name],
        [result, said, download],
        api_name="movie",
        concurrency_id="movie",  # pictures need not wait for a movie
        show_progress_on=said,
        scroll_to_output=True,
    )
    running.success(
        lambda: gr.update(interactive=True),
        None,
        download,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    cancel.click(
        lambda: CANCELLED,
        None,
        cancelled,
        cancels=running,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _bar(done: int, frames: int | None) -> str:
    of = f" of {frames}" if frames else ""
    share = f'value="{done}" max="{frames}"' if frames else ""
    return f'<label class="frames">Frame {done}{of} <progress {share}></progress></label>'
