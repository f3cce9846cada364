"""The tab "Levels": what each level of a hierarchy controls."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from hvae_sr.demo import examples, jobs
from hvae_sr.demo.grids import grid, strip
from hvae_sr.demo.shared import (
    Models,
    answers,
    can_sample,
    checked_seed,
    menu,
    picture_box,
    read_picture,
    readable,
    seed_box,
    stored,
    temperature_slider,
)
from hvae_sr.imaging import pixels
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.traversal import Stage, redraw, stages

MOST_OTHERS = 8

EXPLANATION = (
    "A sample is drawn level by level, from coarse to fine. Each row keeps a part of the same "
    "sample, its first picture, and draws the rest anew: what still differs along a row is what "
    "the finer levels decide. **y** is the small picture, **x** the large one."
)
TEMPERATURE_INFO = "Lower is smoother and more typical, 1 is what the model believes."
PICTURE_INFO = (
    "Instead of a sample, the model's answers to your picture: **y** is given, and only **x** is "
    "drawn. Models of photographs need one."
)


def rows_of(
    model: GenerativeModel,
    picture: str | None,
    others: int,
    temperature: float,
    seed: int,
) -> Iterator[tuple[Stage, Tensor]]:
    """See `redraw`, for an uploaded picture or none.

    Raises:
        HvaeSrError, ValueError: where picture and model do not fit.
    """
    if picture is None:
        if not can_sample(model):
            raise ValueError("this model only enlarges: give it a picture, or choose another one")
        jobs.allow({model: jobs.SAMPLE * (1 + others) * len(stages(model))})
        return redraw(model, seed, others=others, temperature=temperature)
    answers = (1 + others) * len(stages(model, given=True))
    image = read_picture(picture, answers)
    jobs.allow({model: image.width * image.height * answers})
    lr, _ = pixels.split(image)
    return redraw(model, seed, others=others, lr=lr, temperature=temperature)


def tab(models: Models) -> None:
    """Lay out the tab and connect it; inside `gr.Blocks`. Without a model that samples, no tab."""
    hierarchies = {
        name: model for name, model in models.items() if isinstance(model, GenerativeModel)
    }
    samplers = [name for name, model in hierarchies.items() if can_sample(model)]
    if not samplers:
        return

    def levels(
        model: str,
        others: int,
        temperature: float,
        seed: int | None,
        picture: str | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[list[tuple[Image.Image, str]], str]:
        """Keep the coarse latents of a sample and redraw the finer ones, level by level.

        Args:
            model: a name from the menu.
            others: how many pictures beside the sample in each row, 1 to 8.
            temperature: 0 makes all alike, 1 latents at full scale, at most 1.2.
            seed: names the sample.
            picture: the small picture, or none to draw it too; pixels x pictures at most 262144.
            progress: filled in by gradio.

        Returns:
            one row after another with what it keeps, each a strip that starts with the sample
            a PNG file with all rows at their own pixels
        """
        with readable():
            chosen = hierarchies[model]
            seed = checked_seed(seed)
            count = len(stages(chosen, given=picture is not None))
            rows = []
            for stage, samples in rows_of(chosen, picture, others, temperature, seed):
                rows.append((f"Kept: {stage.kept}", samples))
                progress((len(rows), count), unit="rows")
            whole = grid(torch.cat([samples for _, samples in rows]), columns=1 + others)
            stem = Path(picture).stem if picture else model
            (path,) = stored([whole], [f"{stem}-levels-seed{seed}.png"], gallery)
        return [(strip(samples), kept) for kept, samples in rows], path

    with gr.Tab("Levels", id="levels", elem_id="tab-levels"), gr.Row():
        with gr.Column(scale=2, min_width=320):
            gr.Markdown(EXPLANATION, elem_classes="note")
            name = menu(hierarchies, samplers[0])
            with gr.Group():
                temperature = temperature_slider(0.9, TEMPERATURE_INFO)
                others = gr.Slider(
                    1,
                    MOST_OTHERS,
                    value=5,
                    step=1,
                    precision=0,
                    label="Others in each row",
                    info="They share what the row keeps of the sample.",
                )
                seed = seed_box()
            with gr.Accordion("Levels of your own picture", open=False):
                gr.Markdown(PICTURE_INFO, elem_classes="note")
                box = picture_box()
                examples.offer(box)
            button = gr.Button("Redraw the levels", variant="primary", size="lg")
        with gr.Column(scale=3, min_width=320):
            gallery = gr.Gallery(
                format="png",
                columns=1,
                height="auto",
                object_fit="contain",
                buttons=["download", "fullscreen"],
                interactive=False,
                label="The sample comes first in each row",
                elem_classes="strips",
            )
            download = gr.DownloadButton("Download the rows as PNG", interactive=False, size="md")

    inputs = [name, others, temperature, seed, box]
    answers(button, levels, inputs, [gallery, download], "levels")
