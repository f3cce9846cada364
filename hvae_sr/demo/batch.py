"""The tab "Batch": several images in, one zip with all answers out."""

import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from hvae_sr.demo import jobs, limits
from hvae_sr.demo.answers import answer
from hvae_sr.demo.catalogue import Models, first, upscalers
from hvae_sr.demo.components import (
    files_box,
    format_menu,
    model_menu,
    old_mark,
    quality_slider,
    size_menu,
)
from hvae_sr.demo.files import new_folder, stored
from hvae_sr.demo.limits import megapixels
from hvae_sr.demo.output import LOSSY, Output, reduced, resized
from hvae_sr.demo.progress import Steps
from hvae_sr.demo.report import BATCH, report
from hvae_sr.demo.requests import SHRINK, Request, checked
from hvae_sr.demo.tab import QUIET, Action, Tab, documented
from hvae_sr.demo.values import readable, without_folders
from hvae_sr.errors import HvaeSrError, ImageError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.upscaling import UpscaleOptions
from hvae_sr.upscaling.records import records

MOST_FILES = 16
LARGEST_COST = 12e12  # operations of a batch, as of a movie
VIEW = 512  # pixels of the longer side of what the page shows of each answer
COLUMNS = ("Image", "Result")
EXPLANATION = (
    "Every image is enlarged by the model's single best guess. One that cannot be enlarged is "
    "named below, and the others are done."
)


@dataclass
class Batch:
    """What becomes of several files.

    Args:
        said: for each file what is wrong with it, or what was made of it.
    """

    files: list[str]
    said: list[str] = field(default_factory=list)
    requests: dict[int, Request] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.said = [""] * len(self.files)

    @property
    def pixels(self) -> int:
        """Of all images that are upscaled."""
        return sum(each.image.width * each.image.height for each in self.requests.values())

    @property
    def table(self) -> dict[str, Any]:
        """As `gr.Dataframe` takes it."""
        names = [Path(each).name for each in self.files]
        rows = [list(each) for each in zip(names, self.said, strict=True)]
        return {"headers": list(COLUMNS), "data": rows, "metadata": None}

    def refuse(self, number: int, error: Exception) -> None:
        """Say in one sentence why a file is left out."""
        self.requests.pop(number, None)
        self.said[number] = without_folders(str(error))


def largest(model: SuperResolutionModel) -> int:
    """Pixels that all images of a batch may have together."""
    return int(LARGEST_COST / limits.operations(model))


def gathered(files: list[str], model: SuperResolutionModel, wanted: Output, shrink: bool) -> Batch:
    """The files that can be upscaled, as far as the limits of a batch go.

    With `shrink` each of them may take an equal share of what those before it left.

    Raises:
        ImageError: for no files, or too many.
    """
    if not files:
        raise ImageError("there are no images: choose some first")
    if len(files) > MOST_FILES:
        raise ImageError(f"these are {len(files)} images: at most {MOST_FILES} are taken at once")
    batch, left = Batch(files), largest(model)
    for number, path in enumerate(files):
        jobs.check()
        most = left // (len(files) - number) if shrink else left
        try:
            asked = checked(path, model, UpscaleOptions(temperature=0.0), wanted, shrink, most=most)
        except (HvaeSrError, ValueError) as error:
            batch.refuse(number, error)
            continue
        batch.requests[number] = asked
        left -= asked.image.width * asked.image.height
    return batch


def upscaled(batch: Batch, archive: Path, steps: Steps) -> Iterator[Image.Image]:
    """Answer every request of a batch into a zip; yields each answer as the page shows it.

    An image that fails in the making is refused by name, as one that cannot be read.
    """
    done, total = 0, batch.pixels
    taken: set[str] = set()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        for number, asked in list(batch.requests.items()):
            pixels = asked.image.width * asked.image.height

            def share(tiles: int, of: int | None, done: int = done, pixels: int = pixels) -> None:
                steps(done + pixels * tiles // max(of or 1, tiles), total)

            try:
                image, file = _answered(asked, share)
            except (HvaeSrError, ValueError) as error:
                batch.refuse(number, error)
            else:
                bundle.write(file, _free(file.name, taken))
                file.unlink()
                batch.said[number] = f"{image.width} x {image.height}"
                image.thumbnail((VIEW, VIEW), Image.Resampling.LANCZOS)
                yield reduced(image)
            done += pixels


def _answered(asked: Request, steps: Any) -> tuple[Image.Image, Path]:
    """An answer and its file."""
    image = resized(answer(asked, steps).images[0], asked.options.size)
    made = records(asked.file, asked.model, asked.options)
    (path,) = stored([image], asked.names, made, asked.options.quality)
    return image, Path(path)


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where another image of the zip has it already."""
    path, number, found = Path(name), 2, name
    while found in taken:
        found, number = f"{path.stem}-{number}{path.suffix}", number + 1
    taken.add(found)
    return found


class BatchTab(Tab[SuperResolutionModel]):
    """Enlarges several images in one go."""

    title = "Batch"
    id = "batch"

    def suitable(self, models: Models) -> dict[str, SuperResolutionModel]:
        return upscalers(models)

    @documented
    def batch(
        self,
        images: list[str] | None,
        model: str,
        size: str,
        file_format: str,
        quality: int,
        shrink: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[list[tuple[str, str]], dict[str, Any], dict[str, Any], str]:
        """Enlarge several images by the model's best guess; what fails is named, the rest is done.

        Args:
            images: at most 16 files: PNG, JPEG, WebP, TIFF, BMP, GIF or PPM.
            model: a name from the menu.
            size: "model" for the model's own scale, a factor such as "2x", a name such as "4k", or
                WIDTHxHEIGHT to fit into.
            file_format: "PNG", "JPEG", "WebP" or "TIFF".
            quality: 1 to 100, of JPEG and WebP.
            shrink: shrink images that are too large until they are taken.
            progress: filled in by gradio.

        Returns:
            the answers, reduced, with their names
            for each image its result, or why there is none
            model, images and seconds
            all answers in one zip file
        """
        start = time.perf_counter()
        with readable():
            chosen = self.models[model]
            batch = gathered(images or [], chosen, Output(file_format, quality, size), shrink)
            folder = new_folder()
            archive = folder / f"{len(batch.files)}-images-{model}.zip"
            with jobs.turn({chosen: batch.pixels}):
                views = list(upscaled(batch, archive, Steps(progress, "Upscaling", "pixels")))
            if not batch.requests:
                name = Path(batch.files[0]).name
                raise ImageError(f"none of the images could be upscaled; {name}: {batch.said[0]}")
            names = [Path(each.names[0]).stem for each in batch.requests.values()]
            paths = stored(views, [f"{n}-{name}.png" for n, name in enumerate(names, start=1)])
        numbers = {
            "model": model,
            "files": len(batch.files),
            "done": len(batch.requests),
            "seconds": round(time.perf_counter() - start, 1),
        }
        return list(zip(paths, names, strict=True)), batch.table, numbers, str(archive)

    def show_limit(self, model: str) -> str:
        """The most that is taken, in words."""
        chosen = self.models[model]
        each, together = limits.largest([limits.Work(chosen)]), largest(chosen)
        return (
            f"Up to {MOST_FILES} images, 32 MB and **{megapixels(together)} megapixels** together, "
            f"{megapixels(min(each, together))} each, with this model."
        )

    def show_quality(self, file_format: str) -> dict:
        """The quality of a format that has one."""
        return gr.update(visible=file_format in LOSSY)

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.files = files_box()
                self.limit = gr.Markdown(self.show_limit(first(self.models)), elem_classes="note")
                self.model = model_menu(self.models)
                self.action = Action.laid_out("Upscale all")
                self.shrink = gr.Checkbox(label=SHRINK)
                with gr.Accordion("Output: size, format, quality", open=False):
                    self.size = size_menu()
                    self.file_format = format_menu()
                    self.quality = quality_slider()
                gr.Markdown(EXPLANATION, elem_classes="note")
            with gr.Column(scale=3, min_width=320):
                self.gallery = gr.Gallery(
                    format="png",
                    columns=3,
                    height="auto",
                    object_fit="contain",
                    buttons=["fullscreen"],
                    interactive=False,
                    label="Answers, reduced: the zip holds them whole",
                    elem_classes="pairs captions",
                )
                self.old = old_mark()
                self.figures = report(BATCH, "Images done, time and settings")
                self.file = gr.DownloadButton("Download all as zip", interactive=False, size="md")
                self.table = gr.Dataframe(
                    headers=list(COLUMNS),
                    interactive=False,
                    label="Results",
                    elem_classes="scores",
                )

    @property
    def settings(self) -> dict[str, gr.Component]:
        return {
            "model": self.model,
            "size": self.size,
            "file_format": self.file_format,
            "quality": self.quality,
            "shrink": self.shrink,
        }

    def connect(self) -> None:
        self.model.change(self.show_limit, self.model, self.limit, **QUIET)
        self.file_format.change(self.show_quality, self.file_format, self.quality, **QUIET)
        self.action.run(
            self.batch,
            [self.files, *self.settings.values()],
            [self.gallery, self.table, self.figures, self.file],
            download=self.file,
            old=self.old,
        )
