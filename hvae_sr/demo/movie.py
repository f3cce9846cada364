"""The tab "Movie": a short clip in, the same clip with larger frames and its own sound out."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from hvae_sr.demo import jobs
from hvae_sr.demo.catalogue import Models, first, upscalers
from hvae_sr.demo.components import model_menu, movie_box, old_mark
from hvae_sr.demo.files import address, new_folder
from hvae_sr.demo.limits import megapixels, operations
from hvae_sr.demo.progress import Steps
from hvae_sr.demo.report import MOVIE, report
from hvae_sr.demo.tab import QUIET, Action, Tab, documented
from hvae_sr.demo.values import readable
from hvae_sr.errors import MovieError
from hvae_sr.imaging.video import copying, reading
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.upscaling.video import upscale_movie

FIRST = ("photo-cnn-x2",)  # what the menu starts with where it has it: the fastest
MOST_FRAMES = 250
LARGEST_COST = 12e12  # operations of a movie: minutes, not hours
LARGEST_FRAME = 2**21  # pixels
PREFERRED = ".mp4"  # the container that every browser plays


def checked(path: str | None, model: SuperResolutionModel) -> tuple[Path, reading.Facts]:
    """An uploaded clip within the demo's limits; of its frames only the first is decoded.

    Args:
        path: where the upload lies.
        model: whose cost counts.

    Raises:
        MovieError: for no clip, no longer a clip, a broken one, or one too large.
    """
    if not path or not Path(path).is_file():
        raise MovieError("there is no movie: choose one first, or upload it again")
    clip = Path(path)
    facts = reading.survey(clip, largest=LARGEST_FRAME, most=MOST_FRAMES)
    frames = facts.frames or 1
    if frames > MOST_FRAMES:
        raise MovieError(
            f"{clip.name} has {frames} frames: the demo takes at most {MOST_FRAMES}, so cut it"
        )
    if frames * facts.width * facts.height > largest(model):
        allowed = largest(model) // (facts.width * facts.height)
        raise MovieError(
            f"{frames} frames of {facts.width}x{facts.height} are too much for this model: cut "
            f"{clip.name} to {allowed} frames, shrink it, or choose a cheaper model"
        )
    return clip, facts


def largest(model: SuperResolutionModel) -> int:
    """Pixels that all frames together may have."""
    return int(LARGEST_COST / operations(model))


def limits(model: SuperResolutionModel) -> str:
    """What the page says of the largest movie."""
    return (
        f"At most {MOST_FRAMES} frames and {megapixels(largest(model))} megapixels of them together"
        f" with this model, such as {largest(model) // (640 * 360)} frames of 640 x 360. Sound and "
        "subtitles are copied."
    )


def suffix_for(clip: Path) -> str:
    """Of a container that holds every stream of the clip; the preferred one where none does."""
    with reading.opened(clip) as movie:
        suffixes = copying.fitting(movie)
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

    @documented
    def movie(
        self,
        movie: str | None,
        model: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[str, dict[str, Any], str]:
        """Enlarge every frame of a short movie; its sound and subtitles are copied.

        Args:
            movie: MP4, MKV, MOV, WebM or another common format; at most 250 frames, and as many
                pixels in all of them together as the page says for the model.
            model: a name from the menu.
            progress: filled in by gradio.

        Returns:
            the movie, in MP4, or in Matroska where MP4 cannot hold its streams
            model, size, frames, seconds, and addresses of the movie before and after
            the movie again, to download
        """
        start = time.perf_counter()
        with readable():
            chosen = self.models[model]
            source, facts = checked(movie, chosen)
            target = new_folder() / f"{source.stem}-x{chosen.scale}{suffix_for(source)}"
            frames = facts.frames or MOST_FRAMES
            jobs.allow({chosen: frames * facts.width * facts.height})
            done = 0
            steps = Steps(progress, "Upscaling", "frames")

            def count(number: int, total: int | None) -> None:
                nonlocal done
                done = number
                steps(number, total)

            enlarge_movie(source, target, chosen, count)
        numbers = {
            "model": model,
            "width": facts.width * chosen.scale,
            "height": facts.height * chosen.scale,
            "input_width": facts.width,
            "input_height": facts.height,
            "frames": done,
            "seconds": round(time.perf_counter() - start, 1),
            "before": address(source),
            "after": address(target),
        }
        return str(target), numbers, str(target)

    def show_limits(self, model: str) -> str:
        """The largest movie that a model takes, in words."""
        return limits(self.models[model])

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.clip = movie_box()
                self.model = model_menu(self.models, FIRST)
                start = self.models[first(self.models, FIRST)]
                self.limits = gr.Markdown(limits(start), elem_classes="note")
                self.action = Action.laid_out("Upscale the movie")
            with gr.Column(scale=3, min_width=320):
                self.result = gr.Video(
                    interactive=False,
                    buttons=["download"],
                    height=480,
                    label="The movie, enlarged",
                    elem_id="film",
                )
                self.old = old_mark()
                self.figures = report(MOVIE, "Size, time, settings, and the movie before and after")
                self.file = gr.DownloadButton("Download the movie", interactive=False, size="md")

    @property
    def settings(self) -> dict[str, gr.Component]:
        return {"model": self.model}

    def connect(self) -> None:
        self.model.change(self.show_limits, self.model, self.limits, **QUIET)
        self.action.run(
            self.movie,
            [self.clip, self.model],
            [self.result, self.figures, self.file],
            download=self.file,
            old=self.old,
            lane="movie",  # images need not wait for a movie
            at_once=1,
        )
