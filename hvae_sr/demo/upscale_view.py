"""What the tab "Upscale" shows: choices on the left, the answer on the right."""

import gradio as gr

from hvae_sr.demo import examples
from hvae_sr.demo.catalogue import Models, first
from hvae_sr.demo.components import (
    count_slider,
    format_menu,
    image_box,
    model_menu,
    old_mark,
    quality_slider,
    seed_box,
    size_menu,
    temperature_slider,
)
from hvae_sr.demo.report import UPSCALED, report
from hvae_sr.demo.requests import SHRINK
from hvae_sr.demo.tab import Action
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.upscaling import UpscaleOptions

DEFAULTS = UpscaleOptions()
MOST_SAMPLES = 16

TEMPERATURE_INFO = (
    "How much the answer dares. 0: the single best guess. 0.8: plausible detail. 1: latents at "
    "full scale."
)
SAMPLES_INFO = "Several samples show what the image leaves open; at temperature 0 there is one."
CONSISTENT = "Keep true to the original"
CONSISTENT_INFO = (
    "LR consistency: adjusts the answer so that, shrunk again, it gives back your image."
)
LR_PSNR_INFO = "LR-PSNR compares your image with the answer shrunk again: from 45 dB on they agree."
DETERMINISTIC = "This model has one answer: it has no temperature, no samples and no uncertainty."


class Choices:
    """The image, the model, and how its answers are drawn and saved.

    Args:
        models: name -> model for the menu.
        limit: what is said at first of the largest image.
    """

    def __init__(self, models: Models, limit: str):
        generative = isinstance(models[first(models)], GenerativeModel)
        self.image = image_box()
        self.limit = gr.Markdown(limit, elem_classes="note")
        self.model = model_menu(models)
        self.action = Action.laid_out("Upscale")
        self.examples = examples.offer(self.image)
        with gr.Group(visible=generative) as self.generative:
            self.temperature = temperature_slider(DEFAULTS.used_temperature, TEMPERATURE_INFO)
            self.num_samples = count_slider(
                1, MOST_SAMPLES, DEFAULTS.num_samples, "Number of samples", SAMPLES_INFO
            )
            self.seed = seed_box()
        self.deterministic = gr.Markdown(DETERMINISTIC, visible=not generative, elem_classes="note")
        self.shrink = gr.Checkbox(label=SHRINK)
        self.consistent = gr.Checkbox(
            value=DEFAULTS.consistent, label=CONSISTENT, info=CONSISTENT_INFO
        )
        with gr.Accordion("Output: size, format, quality", open=False):
            self.size = size_menu()
            self.file_format = format_menu()
            self.quality = quality_slider()


class AnswerView:
    """The answer beside interpolation, its figures and files, and all samples if there are more."""

    def __init__(self) -> None:
        self.slider = gr.ImageSlider(
            format="png",
            type="filepath",
            image_mode=None,
            interactive=False,
            buttons=["fullscreen"],
            max_height=640,
            label="Left: ordinary enlargement (bicubic). Right: the model",
            elem_id="answer",
        )
        self.old = old_mark()
        self.figures = report(UPSCALED, "Size, LR-PSNR, time and settings")
        gr.Markdown(LR_PSNR_INFO, elem_classes="note")
        with gr.Row():
            self.file = gr.DownloadButton("Download the image", interactive=False, size="md")
            self.archive = gr.DownloadButton("Download all samples", visible=False, size="md")
        with gr.Column(visible=False) as self.several:
            self.gallery = gr.Gallery(
                format="png",
                type="filepath",
                columns=4,
                height="auto",
                object_fit="contain",
                buttons=[],
                allow_preview=False,
                interactive=False,
                label="Samples: choose one to compare and download it; in dB, LR-PSNR",
                elem_classes="pairs",
            )
            self.std_map = gr.Image(
                format="png",
                interactive=False,
                buttons=["download", "fullscreen"],
                label="Where the samples differ (standard deviation)",
                alt_text="Map of the standard deviation of each pixel over the samples",
                elem_classes="below",
            )
