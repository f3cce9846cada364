"""The tab "Levels": what each level of a hierarchy controls."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from hvae_sr.demo import examples, jobs, limits
from hvae_sr.demo.catalogue import FIRST, Models, can_sample, samplers
from hvae_sr.demo.components import (
    count_slider,
    image_box,
    model_menu,
    old_mark,
    seed_box,
    temperature_slider,
)
from hvae_sr.demo.files import read_image, stored
from hvae_sr.demo.grids import grid, strip
from hvae_sr.demo.progress import Steps
from hvae_sr.demo.report import DRAWN, report
from hvae_sr.demo.tab import Action, Tab, documented
from hvae_sr.demo.values import checked_seed, readable
from hvae_sr.imaging import pixels
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.traversal import Stage, redraw, stages

MOST_OTHERS = 8

EXPLANATION = (
    "A sample is drawn level by level, from coarse to fine. Each row keeps a part of the same "
    "sample, its first image, and draws the rest anew: what still differs along a row is what "
    "the finer levels decide. **y** is the low-resolution image, **x** the high-resolution one."
)
TEMPERATURE_INFO = "Lower is smoother and more typical, 1 is what the model believes."
IMAGE_INFO = (
    "Instead of a sample, the model's answers to your image: **y** is given, and only **x** is "
    "drawn. Models of photographs need one."
)


class LevelsTab(Tab[GenerativeModel]):
    """Keeps the coarse latents of a sample and draws the finer ones anew."""

    title = "Levels"
    id = "levels"

    def suitable(self, models: Models) -> dict[str, GenerativeModel]:
        if not samplers(models):
            return {}
        return {name: each for name, each in models.items() if isinstance(each, GenerativeModel)}

    @documented
    def levels(
        self,
        model: str,
        others: int,
        temperature: float,
        seed: int | None,
        image: str | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[list[tuple[Image.Image, str]], str, dict[str, Any]]:
        """Keep the coarse latents of a sample and redraw the finer ones, level by level.

        Args:
            model: a name from the menu.
            others: how many images beside the sample in each row, 1 to 8.
            temperature: 0 makes all alike, 1 latents at full scale, at most 1.2.
            seed: names the sample.
            image: the LR image, or none to draw it too; pixels x images at most 262144.
            progress: filled in by gradio.

        Returns:
            one row after another with what it keeps, each a strip that starts with the sample
            a PNG file with all rows at their own pixels
            model and settings
        """
        with readable():
            chosen = self.models[model]
            seed = checked_seed(seed)
            count = len(stages(chosen, given=image is not None))
            rows = []
            steps = Steps(progress, "Drawing", "rows")
            for stage, samples in self._rows(chosen, image, others, temperature, seed):
                rows.append((f"Kept: {stage.kept}", samples))
                steps(len(rows), count)
            whole = grid(torch.cat([samples for _, samples in rows]), columns=1 + others)
            stem = Path(image).stem if image else model
            (path,) = stored([whole], [f"{stem}-levels-seed{seed}.png"])
        numbers = {"model": model, "temperature": temperature, "seed": seed, "others": others}
        return [(strip(samples), kept) for kept, samples in rows], path, numbers

    def _rows(
        self, model: GenerativeModel, image: str | None, others: int, temperature: float, seed: int
    ) -> Iterator[tuple[Stage, Tensor]]:
        """See `redraw`, for an uploaded image or none.

        Raises:
            HvaeSrError, ValueError: where image and model do not fit.
        """
        if image is None:
            if not can_sample(model):
                raise ValueError("this model only enlarges: give it an image, or choose another")
            jobs.allow({model: jobs.SAMPLE * (1 + others) * len(stages(model))})
            return redraw(model, seed, others=others, temperature=temperature)
        answers = (1 + others) * len(stages(model, given=True))
        given = read_image(image)
        limits.check(given.size, limits.LARGEST_PASS // answers, "ask for fewer images in a row")
        jobs.allow({model: given.width * given.height * answers})
        lr, _ = pixels.split(given)
        return redraw(model, seed, others=others, lr=lr, temperature=temperature)

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.model = model_menu(self.models, (*FIRST, *samplers(self.models)))
                self.action = Action.laid_out("Redraw the levels")
                gr.Markdown(EXPLANATION, elem_classes="note")
                with gr.Group():
                    self.temperature = temperature_slider(0.9, TEMPERATURE_INFO)
                    info = "They share what the row keeps of the sample."
                    self.others = count_slider(1, MOST_OTHERS, 5, "Others in each row", info)
                    self.seed = seed_box()
                with gr.Accordion("Levels of your own image", open=False):
                    gr.Markdown(IMAGE_INFO, elem_classes="note")
                    self.image = image_box()
                    examples.offer(self.image)
            with gr.Column(scale=3, min_width=320):
                self.gallery = gr.Gallery(
                    format="png",
                    columns=1,
                    height="auto",
                    object_fit="contain",
                    buttons=["download", "fullscreen"],
                    interactive=False,
                    label="The sample comes first in each row",
                    elem_classes="strips",
                )
                self.old = old_mark()
                self.figures = report(DRAWN, "Settings of the rows")
                self.file = gr.DownloadButton(
                    "Download the rows as PNG", interactive=False, size="md"
                )

    @property
    def settings(self) -> dict[str, gr.Component]:
        return {
            "model": self.model,
            "others": self.others,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def connect(self) -> None:
        self.action.run(
            self.levels,
            [*self.settings.values(), self.image],
            [self.gallery, self.file, self.figures],
            download=self.file,
            old=self.old,
        )
