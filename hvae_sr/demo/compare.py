"""The tab "Compare": one image through several models, beside bicubic interpolation."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from hvae_sr.degradations import Degradation
from hvae_sr.demo import examples, jobs, limits
from hvae_sr.demo.catalogue import Models, described, first, upscalers
from hvae_sr.demo.components import image_box, old_mark
from hvae_sr.demo.files import read_image, stored
from hvae_sr.demo.limits import megapixels
from hvae_sr.demo.progress import Steps
from hvae_sr.demo.tab import QUIET, Action, Tab, documented
from hvae_sr.demo.values import readable
from hvae_sr.errors import ImageError
from hvae_sr.evaluation.metrics import WINDOW, lr_psnr, score
from hvae_sr.evaluation.references import cropped
from hvae_sr.imaging.pixels import split, to_image
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.resize import enlarge, quantise

# columns of the table -> how a value is written
COLUMNS = {
    "Image": "{}",
    "PSNR (dB)": "{:.2f}",
    "SSIM": "{:.4f}",
    "LR-PSNR (dB)": "{:.1f}",
    "Seconds": "{:.2f}",
    "Task": "{}",
}
REFERENCE = "The image is a high-resolution reference"
REFERENCE_INFO = "It is shrunk first, by each model's own degradation, then restored and scored."
CONVENTIONS = (
    "Every model gives its best guess, at temperature 0. PSNR and SSIM are those of photographs in "
    "the literature: on the luma Y of the answer rounded to 8 bits, a border as wide as the scale "
    "shaved. LR-PSNR compares the answer, shrunk again, with the model's input. A model is made "
    "for one task, its scale and the way its training images were shrunk: compare scores within "
    "a task only, whose models had the same input."
)


@dataclass(frozen=True)
class Task:
    """What the models of one degradation are given.

    Args:
        degradation: with its scale.
        lr: the input, (1, 3, h, w) in [0, 1].
        hr: what the answers are scored against: (1, 3, H, W), or (1, 1, H, W) of a grey image;
            None when nobody knows.
    """

    degradation: Degradation
    lr: Tensor
    hr: Tensor | None

    @property
    def name(self) -> str:
        return f"x{self.degradation.scale}, {self.degradation.name}"

    @property
    def input(self) -> tuple[str, Image.Image]:
        """What is shown of the input: a caption, and each pixel enlarged to the answers' size."""
        height, width = self.lr.shape[-2:]
        pixels = enlarge(self.lr, self.degradation.scale, "nearest")
        return f"input {width} x {height} · {self.name}", to_image(pixels[0])

    def entry(self, name: str, answer: Tensor, seconds: float | None = None) -> "Entry":
        """An answer (1, 3, H, W) in [0, 1] with its scores."""
        image = to_image(answer[0])
        if self.hr is None:
            consistency = float(lr_psnr(answer, self.lr, self.degradation))
            return Entry(name, self.name, image, consistency, seconds)
        found = score(answer, self.hr, self.lr, self.degradation, space="y")
        return Entry(
            name,
            self.name,
            image,
            float(found.lr_psnr),
            seconds,
            float(found.psnr),
            float(found.ssim),
        )


@dataclass(frozen=True)
class Entry:
    """One answer: PSNR and LR-PSNR in dB, the former and SSIM where there is a reference."""

    name: str
    task: str
    image: Image.Image
    lr_psnr: float
    seconds: float | None = None
    psnr: float | None = None
    ssim: float | None = None

    @property
    def caption(self) -> str:
        scores = [f"{self.psnr:.2f} dB", f"SSIM {self.ssim:.4f}"] if self.psnr is not None else []
        time = [f"{self.seconds:.2f} s"] if self.seconds is not None else []
        return " · ".join([self.name, *scores, f"LR-PSNR {self.lr_psnr:.1f} dB", *time])


def set_task(image: Image.Image, degradation: Degradation, reference: bool) -> Task:
    """The image as the input of a degradation's models, or shrunk by it when it is a reference.

    Raises:
        ImageError: for a reference too small to be scored.
    """
    rgb, rest = split(image)
    if not reference:
        return Task(degradation, rgb, None)
    scale = degradation.scale
    needed = -(-(WINDOW + 2 * scale) // scale) * scale  # SSIM's window inside the shaved border
    if min(rgb.shape[-2:]) < needed:
        raise ImageError(
            f"the reference is {rgb.shape[-1]}x{rgb.shape[-2]}: scores at x{scale} need at least "
            f"{needed} pixels along each side"
        )
    hr = quantise(cropped(rgb, scale))
    return Task(degradation, degradation(hr), hr[:, :1] if rest.grey else hr)


@torch.inference_mode()
def answers(task: Task, models: Models) -> Iterator[Entry]:
    """Bicubic interpolation, then the best guess of each model, one at a time."""
    yield task.entry("bicubic", enlarge(task.lr, task.degradation.scale).clamp(0, 1))
    for name, model in models.items():
        start = time.perf_counter()
        answer = model.upscale(task.lr)
        yield task.entry(name, answer, time.perf_counter() - start)


def table(found: list[Entry]) -> dict[str, Any]:
    """The scores as `gr.Dataframe` takes them: values, and each column as it is written."""
    rows = [[e.name, e.psnr, e.ssim, e.lr_psnr, e.seconds, e.task] for e in found]
    forms = COLUMNS.values()
    written = [
        [
            "" if value is None else form.format(value)
            for form, value in zip(forms, row, strict=True)
        ]
        for row in rows
    ]
    return {"headers": list(COLUMNS), "data": rows, "metadata": {"display_value": written}}


class CompareTab(Tab[SuperResolutionModel]):
    """Several models side by side, with scores where a reference is known."""

    title = "Compare"
    id = "compare"

    def suitable(self, models: Models) -> dict[str, SuperResolutionModel]:
        return upscalers(models)

    @documented
    def compare(
        self,
        image: str | None,
        models: list[str],
        reference: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[list[tuple[str, str]], dict[str, Any]]:
        """Enlarge an image with several models, and score them when it is a reference.

        Args:
            image: PNG, JPEG, WebP, TIFF, BMP, GIF or PPM; its colours are used. How large it may
                be follows from the models, and the page says it.
            models: names of models.
            reference: the image is the truth: shrink it first, restore it, score it.
            progress: filled in by gradio.

        Returns:
            for each task the input, bicubic interpolation and each model's answer, with scores
            the scores as a table, one row for each answer
        """
        with readable():
            if not models:
                raise ValueError("no model is chosen: choose at least one to compare")
            chosen = {name: self.models[name] for name in models}
            given = read_image(image)
            limits.check(given.size, self._largest(models, reference), "choose fewer models")
            tasks = self._tasks(chosen, given, reference)
            shown = [("reference", given)] if reference else []
            found: list[Entry] = []
            steps = Steps(progress, "Upscaling", "images")
            with jobs.turn(
                {
                    each: task.lr.shape[-2] * task.lr.shape[-1]
                    for task, members in tasks
                    for each in members.values()
                }
            ):
                for task, members in tasks:
                    shown.append(task.input)
                    for entry in answers(task, members):
                        found.append(entry)
                        shown.append((entry.caption, entry.image))
                        steps(len(found), len(models) + len(tasks))
            captions, images = zip(*shown, strict=True)
            stem = Path(str(image)).stem
            paths = stored(images, [f"{stem}-{n}.png" for n in range(1, len(images) + 1)])
        return list(zip(paths, captions, strict=True)), table(found)

    def show_limit(self, models: list[str], reference: bool) -> str:
        """The largest image that is taken, in words."""
        if not models:
            return "Choose at least one model."
        most = self._largest(models, reference)
        side = int(most**0.5)
        return f"Up to {megapixels(most)} megapixels with these models, such as {side} x {side}."

    def _largest(self, models: list[str], reference: bool) -> int:
        """Pixels of the largest image that these models take, each at its own scale."""
        chosen = [self.models[name] for name in models]
        work = [limits.Work(each, shrink=each.scale if reference else 1) for each in chosen]
        return limits.largest(work, limits.LARGEST_SHOWN)

    @staticmethod
    def _tasks(models: Models, image: Image.Image, reference: bool) -> list[tuple[Task, Models]]:
        """Each task that the models were made for, with its models."""
        groups: dict[Degradation, dict[str, SuperResolutionModel]] = {}
        for name, model in models.items():
            assert model.degradation is not None  # of `upscalers`
            groups.setdefault(model.degradation, {})[name] = model
        return [(set_task(image, each, reference), group) for each, group in groups.items()]

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.image = image_box()
                self.limit = gr.Markdown(elem_classes="note")
                self.action = Action.laid_out("Compare")
                examples.offer(self.image)
                self.reference = gr.Checkbox(label=REFERENCE, info=REFERENCE_INFO)
                task = self.models[first(self.models)].degradation
                same = [name for name, each in self.models.items() if each.degradation == task]
                self.chosen = gr.CheckboxGroup(
                    described(self.models),
                    value=same,
                    label="Models",
                    elem_classes="column",
                )
                self.limit.value = self.show_limit(same, False)
            with gr.Column(scale=3, min_width=320):
                self.gallery = gr.Gallery(
                    format="png",
                    columns=3,
                    height="auto",
                    object_fit="contain",
                    buttons=["download", "fullscreen"],
                    interactive=False,
                    label="Answers: choose one to see it large",
                    elem_classes="pairs captions",
                )
                self.old = old_mark()
                self.scores = gr.Dataframe(
                    headers=list(COLUMNS),
                    interactive=False,
                    label="Scores",
                    elem_classes="scores",
                )
                gr.Markdown(CONVENTIONS, elem_classes="note")

    @property
    def settings(self) -> dict[str, gr.Component]:
        return {"models": self.chosen, "reference": self.reference}

    def connect(self) -> None:
        self.chosen.change(self.show_limit, [self.chosen, self.reference], self.limit, **QUIET)
        self.reference.change(self.show_limit, [self.chosen, self.reference], self.limit, **QUIET)
        self.action.run(
            self.compare,
            [self.image, self.chosen, self.reference],
            [self.gallery, self.scores],
            old=self.old,
        )
