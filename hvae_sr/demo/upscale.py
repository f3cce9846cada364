"""The tab "Upscale": one picture in, one or several larger ones out."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from hvae_sr import pictures
from hvae_sr.degradation import enlarge
from hvae_sr.demo import spread
from hvae_sr.demo.examples import photographs
from hvae_sr.demo.shared import (
    Models,
    checked_seed,
    menu,
    picture_box,
    read_picture,
    readable,
    seed_box,
    stored,
    temperature_slider,
)
from hvae_sr.generative import GenerativeModel
from hvae_sr.modeling import SuperResolutionModel

MOST_SAMPLES = 16

TEMPERATURE_INFO = "0: the single best guess. 0.8: plausible detail. 1: true samples."
CONSISTENT_INFO = "Adjusts the answer so that, shrunk again, it gives back your picture."
LR_PSNR_INFO = (
    "LR-PSNR compares your picture with the answer shrunk again: from 45 dB on they agree."
)
ONE_SAMPLE = "The uncertainty map needs several samples: ask for at least 2, above temperature 0."
IDENTICAL = "At temperature 0 all samples are identical: raise it to see where they differ."
DETERMINISTIC = "This model has one answer: it has no temperature, no samples and no uncertainty."


@dataclass(frozen=True)
class Answer:
    """What one press of the button gives.

    Args:
        before: the bicubic enlargement, as large as the answers.
        images: the answers, at least one.
        consistency: LR-PSNR of each answer in dB; infinite when it gives back the input exactly.
        seconds: how long the model took.
    """

    before: Image.Image
    images: list[Image.Image]
    consistency: list[float]
    seconds: float


def answer(
    model: SuperResolutionModel,
    image: Image.Image,
    num_samples: int,
    temperature: float,
    seed: int,
    consistent: bool,
) -> Answer:
    """Enlarge a picture `num_samples` times in one pass and measure what came out.

    Raises:
        ValueError: for samples or a temperature asked of a deterministic model.
    """
    start = time.perf_counter()
    images = model.upscale(
        image,
        num_samples=num_samples,
        temperature=temperature,
        seed=seed,
        consistent=consistent,
    )
    seconds = time.perf_counter() - start
    lr, rest = pictures.split(image)
    larger = enlarge(lr, model.scale)[0].clamp(0, 1)
    before = pictures.join(larger, pictures.enlarged(rest, model.scale))
    return Answer(before, images, lr_psnr(model, images, lr), seconds)


def lr_psnr(model: SuperResolutionModel, images: list[Image.Image], lr: Tensor) -> list[float]:
    """PSNR in dB between `lr` (1, 3, h, w) and each picture shrunk by the model's degradation."""
    assert model.degradation is not None
    shrunk = model.degradation(torch.cat([pictures.to_tensor(image) for image in images]))
    errors = (shrunk - lr).square().mean(dim=(1, 2, 3))
    return (-10 * errors.log10()).tolist()


def tab(models: Models) -> None:
    """Lay out the tab and connect it; inside `gr.Blocks`."""
    models = {name: model for name, model in models.items() if model.degradation is not None}

    def upscale(
        picture: str | None,
        model: str,
        num_samples: int,
        temperature: float,
        seed: int | None,
        consistent: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[tuple[str, str], str, list[tuple[str, str]], Image.Image | None, str, str]:
        """Enlarge a picture; answers keep its alpha, greyness and 16-bit depth.

        Args:
            picture: PNG, JPEG, WebP, TIFF, BMP, GIF or PPM; pixels x samples at most 262144.
            model: a name from the menu.
            num_samples: how many answers, 1 to 16; 1 for a deterministic model.
            temperature: 0 the best guess, 1 true samples, at most 1.2; 0 for such a model.
            seed: makes the samples repeatable.
            consistent: project the answers onto pictures that shrink to the input.
            progress: filled in by gradio.

        Returns:
            the bicubic enlargement and the first answer
            size, LR-PSNR, time and seed as text
            all answers when there are several, with the LR-PSNR of each
            the uncertainty map, or null
            the scale of the map, or why there is none
            the first answer as a PNG file
        """
        with readable():
            chosen = models[model]
            _check_choices(model, chosen, num_samples, temperature)
            seed = checked_seed(seed)
            image = read_picture(picture, num_samples)
            progress(0.1, desc="Upscaling")
            result = answer(chosen, image, num_samples, temperature, seed, consistent)
            progress(0.9, desc="Saving")
            heatmap, legend = _uncertainty(chosen, result.images, temperature)
            before, *after = stored(
                [result.before, *result.images],
                _names(Path(str(picture)).stem, chosen.scale, len(result.images)),
                box,
            )
        several = list(zip(after, _captions(result.consistency), strict=True))
        return (
            (before, after[0]),
            _figures(chosen, image, result, seed),
            several if len(several) > 1 else [],
            heatmap,
            legend,
            after[0],
        )

    with gr.Tab("Upscale", id="upscale"), gr.Row():
        with gr.Column(scale=2, min_width=320):
            box = picture_box()
            with tempfile.TemporaryDirectory() as folder:  # gradio keeps copies of its own
                gr.Examples(
                    photographs(Path(folder)),
                    box,
                    cache_examples=False,
                    label="Photographs to try",
                    api_visibility="private",
                )
            name = menu(models)
            with gr.Group() as choices:
                temperature = temperature_slider(0, TEMPERATURE_INFO)
                num_samples = gr.Slider(
                    1,
                    MOST_SAMPLES,
                    value=1,
                    step=1,
                    precision=0,
                    label="Number of samples",
                    info="Several samples show what the picture leaves open.",
                )
                seed = seed_box()
            deterministic = gr.Markdown(DETERMINISTIC, visible=False, elem_classes="note")
            consistent = gr.Checkbox(label="LR-consistent", info=CONSISTENT_INFO)
            button = gr.Button("Upscale", variant="primary", size="lg")
        with gr.Column(scale=3, min_width=320):
            slider = gr.ImageSlider(
                format="png",
                type="filepath",
                image_mode=None,
                interactive=False,
                buttons=["fullscreen"],
                max_height=640,
                label="Left: bicubic. Right: the model",
                elem_id="answer",
            )
            figures = gr.Markdown(label="Size, LR-PSNR, time and seed", elem_classes="figures")
            gr.Markdown(LR_PSNR_INFO, elem_classes="note")
            download = gr.DownloadButton("Download the PNG", interactive=False, size="md")
            with gr.Column(visible=False) as several:
                gallery = gr.Gallery(
                    format="png",
                    columns=4,
                    height="auto",
                    object_fit="contain",
                    buttons=["download", "fullscreen"],
                    interactive=False,
                    label="Samples, with their LR-PSNR",
                    elem_classes="pairs",
                )
                heatmap = gr.Image(
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    label="Uncertainty: standard deviation over the samples",
                    alt_text="Map of the standard deviation of each pixel over the samples",
                )
            legend = gr.HTML(_note(ONE_SAMPLE), label="Scale of the map")

    def show_choices(model: str) -> list[dict]:
        generative = isinstance(models[model], GenerativeModel)
        return [
            gr.update(visible=generative),
            gr.update() if generative else gr.update(value=0),
            gr.update() if generative else gr.update(value=1),
            gr.update(visible=not generative),
        ]

    def show_several(answers: list | None) -> list[dict]:
        return [gr.update(visible=bool(answers)), gr.update(interactive=True)]

    name.change(
        show_choices,
        name,
        [choices, temperature, num_samples, deterministic],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    button.click(
        upscale,
        [box, name, num_samples, temperature, seed, consistent],
        [slider, figures, gallery, heatmap, legend, download],
        api_name="upscale",
        concurrency_id="model",
        show_progress_on=slider,
        scroll_to_output=True,
    ).success(
        show_several,
        gallery,
        [several, download],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _check_choices(
    name: str, model: SuperResolutionModel, num_samples: int, temperature: float
) -> None:
    if not isinstance(model, GenerativeModel) and (num_samples > 1 or temperature > 0):
        raise ValueError(f"{name} has one answer: set 1 sample and temperature 0")


def _uncertainty(
    model: SuperResolutionModel, images: list[Image.Image], temperature: float
) -> tuple[Image.Image | None, str]:
    """The map and the HTML under it, which says why when there is no map."""
    if not isinstance(model, GenerativeModel):
        return None, _note(DETERMINISTIC)
    if len(images) == 1:
        return None, _note(ONE_SAMPLE)
    if temperature == 0:
        return None, _note(IDENTICAL)
    values = spread.deviation(images)
    top = max(float(values.max()), 1.0)  # below one grey level there is nothing to see
    return spread.coloured(values, top), spread.legend(top, len(images))


def _note(sentence: str) -> str:
    return f'<p class="note">{sentence}</p>'


def _figures(model: SuperResolutionModel, image: Image.Image, result: Answer, seed: int) -> str:
    small, large = pictures.to_tensor(image).shape[-2:], result.images[0].size
    figures = [
        f"**{large[0]} x {large[1]}** from {small[1]} x {small[0]}",
        f"LR-PSNR **{_decibels(result.consistency[0])}**",
        f"{result.seconds:.2f} s",
    ]
    if isinstance(model, GenerativeModel):
        figures.append(f"seed {seed}")
    return " · ".join(figures)


def _captions(consistency: list[float]) -> list[str]:
    return [f"{index}: {_decibels(value)}" for index, value in enumerate(consistency, start=1)]


def _decibels(value: float) -> str:
    return f"{value:.1f} dB" if value < float("inf") else "exact"


def _names(stem: str, scale: int, count: int) -> list[str]:
    more = [f"{stem}-x{scale}-{index}.png" for index in range(2, count + 1)]
    return [f"{stem}-bicubic.png", f"{stem}-x{scale}.png", *more]
