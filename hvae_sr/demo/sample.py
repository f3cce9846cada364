"""The tab "Samples": unconditional samples, and the way from one of them to another."""

from typing import Any

import gradio as gr
from PIL import Image

from hvae_sr.demo import jobs
from hvae_sr.demo.catalogue import Models, samplers
from hvae_sr.demo.components import (
    count_slider,
    model_menu,
    old_mark,
    seed_box,
    temperature_slider,
)
from hvae_sr.demo.files import stored
from hvae_sr.demo.grids import enlarged, grid, strip
from hvae_sr.demo.report import DRAWN, report
from hvae_sr.demo.tab import Action, Tab, documented
from hvae_sr.demo.values import checked_seed, readable
from hvae_sr.imaging.pixels import to_image
from hvae_sr.models import traversal
from hvae_sr.models.latent import GenerativeModel

MOST_SAMPLES = 64
MOST_STEPS = 16

TEMPERATURE_INFO = "Lower is smoother and more typical, 1 is what the model believes."
WAY = "Every image on the way is a sample too. Model and temperature are those above."


class SampleTab(Tab[GenerativeModel]):
    """Draws unconditional samples, and interpolates between two of them."""

    title = "Samples"
    id = "sample"

    def suitable(self, models: Models) -> dict[str, GenerativeModel]:
        return samplers(models)

    @documented
    def sample(
        self,
        model: str,
        num_samples: int,
        temperature: float,
        seed: int | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[list[Image.Image], str, dict[str, Any]]:
        """Draw unconditional samples.

        Args:
            model: a name from the menu.
            num_samples: how many, 1 to 64.
            temperature: 0 the most typical image, 1 latents at full scale, at most 1.2.
            seed: makes the samples repeatable.
            progress: filled in by gradio.

        Returns:
            the samples, each pixel shown as 4 x 4
            a PNG file with all of them at their own pixels
            model and settings
        """
        with readable():
            progress(0.1, desc="Drawing")
            jobs.allow({self.models[model]: jobs.SAMPLE * num_samples})
            samples = self.models[model].sample(
                num_samples, temperature=temperature, seed=checked_seed(seed)
            )
            progress(0.9, desc="Saving")
            whole = grid(samples, columns=round(num_samples**0.5 + 0.499))  # nearly a square
            (path,) = stored([whole], [f"{model}-seed{seed}.png"])
        numbers = {"model": model, "temperature": temperature, "seed": seed}
        return [to_image(each) for each in enlarged(samples)], path, numbers

    @documented
    def interpolate(
        self,
        model: str,
        temperature: float,
        start: int | None,
        end: int | None,
        steps: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[Image.Image, str, dict[str, Any]]:
        """Interpolate between two samples; every image on the way is a sample too.

        Args:
            model: a name from the menu.
            temperature: 0 makes all alike, 1 latents at full scale, at most 1.2.
            start: seed of the first sample.
            end: seed of the last sample, another one.
            steps: how many images, both samples among them, 3 to 16.
            progress: filled in by gradio.

        Returns:
            the strip, each pixel shown as 4 x 4
            a PNG file with the strip at its own pixels
            model and settings
        """
        with readable():
            progress(0.1, desc="Drawing")
            jobs.allow({self.models[model]: jobs.SAMPLE * steps})
            samples = traversal.interpolate(
                self.models[model],
                checked_seed(start),
                checked_seed(end),
                steps=steps,
                temperature=temperature,
            )
            progress(0.9, desc="Saving")
            name = f"{model}-seed{start}-to-{end}.png"
            (path,) = stored([grid(samples, columns=steps)], [name])
        numbers = {"model": model, "temperature": temperature, "seed": start, "end_seed": str(end)}
        return strip(samples), path, numbers

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.model = model_menu(self.models)
                with gr.Group():
                    self.temperature = temperature_slider(0.9, TEMPERATURE_INFO)
                    self.num_samples = count_slider(
                        1, MOST_SAMPLES, 16, "How many", "All are drawn in one pass."
                    )
                    self.seed = seed_box()
                self.draw = Action.laid_out("Draw samples")
            with gr.Column(scale=3, min_width=320):
                self.gallery = gr.Gallery(
                    format="png",
                    columns=4,
                    height="auto",
                    object_fit="contain",
                    buttons=["download", "fullscreen"],
                    interactive=False,
                    label="New images (unconditional samples), each pixel enlarged",
                )
                self.grid_old = old_mark()
                self.grid_figures = report(DRAWN, "Settings of the samples")
                self.grid_file = gr.DownloadButton(
                    "Download the grid as PNG", interactive=False, size="md"
                )
        gr.Markdown("## From one sample to another")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                gr.Markdown(WAY, elem_classes="note")
                with gr.Group():
                    self.start = seed_box(0, "From seed")
                    self.end = seed_box(1, "To seed")
                    info = "Images of the strip, both samples among them."
                    self.steps = count_slider(3, MOST_STEPS, 9, "Steps", info)
                self.walk = Action.laid_out("Interpolate")
            with gr.Column(scale=3, min_width=320):
                self.strip = gr.Image(
                    format="png",
                    image_mode="RGBA",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    label="From the one sample to the other",
                    alt_text="A strip of samples that change from the first to the last",
                    elem_classes="below",
                )
                self.strip_old = old_mark()
                self.strip_figures = report(DRAWN, "Settings of the strip")
                self.strip_file = gr.DownloadButton(
                    "Download the strip as PNG", interactive=False, size="md"
                )

    @property
    def settings(self) -> dict[str, gr.Component]:
        return {
            "model": self.model,
            "num_samples": self.num_samples,
            "temperature": self.temperature,
            "seed": self.seed,
            "start": self.start,
            "end": self.end,
            "steps": self.steps,
        }

    def connect(self) -> None:
        self.draw.run(
            self.sample,
            [self.model, self.num_samples, self.temperature, self.seed],
            [self.gallery, self.grid_file, self.grid_figures],
            download=self.grid_file,
            old=self.grid_old,
        )
        self.walk.run(
            self.interpolate,
            [self.model, self.temperature, self.start, self.end, self.steps],
            [self.strip, self.strip_file, self.strip_figures],
            download=self.strip_file,
            old=self.strip_old,
        )
