"""The tab "Movie": a short clip in, the same clip with larger frames and its own sound out."""

import time
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from hvae_sr.demo import jobs
from hvae_sr.demo.catalogue import Models, upscalers
from hvae_sr.demo.components import model_menu, movie_box
from hvae_sr.demo.files import LARGEST_WORK, new_folder
from hvae_sr.demo.tab import QUIET, Tab, run
from hvae_sr.demo.values import readable
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


def enlarge_movie(
    clip: Path, target: Path, model: SuperResolutionModel, report: Callable[[int, int | None], None]
) -> None:
    """Write `target`, in an empty folder that goes with it where the work fails or is stopped.

    Args:
        report: called after each frame with the frames done and how many there are, or None.

    Raises:
        HvaeSrError: see `upscale_movie`.
    """

    def progress(done: int, total: int | None) -> None:
        jobs.check()
        if done > MOST_FRAMES:  # the packets promised fewer
            raise MovieError(f"{clip.name} has more frames than the {MOST_FRAMES} the demo takes")
        report(done, total)

    try:
        upscale_movie(clip, target, model, progress=progress)
    except BaseException:
        target.parent.rmdir()  # `upscale_movie` has removed what it began in it
        raise


class MovieTab(Tab[SuperResolutionModel]):
    """Enlarges every frame of a short movie."""

    title = "Movie"
    id = "movie"

    def suitable(self, models: Models) -> dict[str, SuperResolutionModel]:
        fast_first = sorted(models.items(), key=lambda item: isinstance(item[1], GenerativeModel))
        return upscalers(dict(fast_first))

    def movie(
        self,
        movie: str | None,
        model: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[str, str, str]:
        """Enlarge every frame of a short movie; its sound and subtitles are copied.

        Args:
            movie: MP4, MKV, MOV, WebM or another common format; at most 250 frames and 33554432
                pixels in all of them together.
            model: a name from the menu.
            progress: filled in by gradio.

        Returns:
            the movie, in MP4, or in Matroska where MP4 cannot hold its streams
            its size, frames and time, as HTML
            the movie again, to download
        """
        start = time.perf_counter()
        with readable():
            source, facts = checked(movie)
            chosen = self.models[model]
            target = new_folder() / f"{source.stem}-x{chosen.scale}{suffix_for(source)}"
            frames = facts.frames or MOST_FRAMES
            jobs.allow({chosen: frames * facts.width * facts.height})
            done = 0

            def report(number: int, total: int | None) -> None:
                nonlocal done
                done = number
                progress((number, total), desc="Upscaling", unit="frames")

            enlarge_movie(source, target, chosen, report)
        size = f"{facts.width * chosen.scale} x {facts.height * chosen.scale}"
        said = (
            f"<p><b>{size}</b> from {facts.width} x {facts.height} · {done} frames · "
            f"{time.perf_counter() - start:.1f} s</p>"
        )
        return str(target), said, str(target)

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.clip = movie_box()
                self.model = model_menu(self.models, FIRST)
                gr.Markdown(LIMITS, elem_classes="note")
                with gr.Row():
                    self.button = gr.Button("Upscale the movie", variant="primary", size="lg")
                    self.cancel = gr.Button("Cancel", size="lg")
                self.cancelled = gr.HTML(
                    label="Whether the movie was cancelled", elem_classes="note"
                )
            with gr.Column(scale=3, min_width=320):
                self.result = gr.Video(
                    interactive=False,
                    buttons=["download"],
                    height=480,
                    label="The movie, enlarged",
                    elem_id="film",
                )
                self.figures = gr.HTML(label="Size and time", elem_classes="figures")
                self.file = gr.DownloadButton("Download the movie", interactive=False, size="md")

    def connect(self) -> None:
        # In the browser alone: an answer of the server could arrive after that of "Cancel".
        self.button.click(None, None, self.cancelled, js="() => ''", api_visibility="private")
        running = run(
            self.button,
            self.movie,
            [self.clip, self.model],
            [self.result, self.figures, self.file],
            api_name="movie",
            lane="movie",  # images need not wait for a movie
        )
        self.cancel.click(lambda: CANCELLED, None, self.cancelled, cancels=running, **QUIET)
