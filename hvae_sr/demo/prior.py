"""The tab "Prior samples": pictures from nothing, and the way from one of them to another."""

import gradio as gr
from PIL import Image
from torch import Tensor

from hvae_sr.demo import jobs
from hvae_sr.demo.grids import enlarged, grid, strip
from hvae_sr.demo.shared import (
    Models,
    answers,
    can_sample,
    checked_seed,
    menu,
    readable,
    seed_box,
    stored,
    temperature_slider,
)
from hvae_sr.imaging.pixels import to_image
from hvae_sr.models import traversal
from hvae_sr.models.latent import GenerativeModel

MOST_SAMPLES = 64
MOST_STEPS = 16

TEMPERATURE_INFO = "Lower is smoother and more typical, 1 is what the model believes."
WAY = "Every picture on the way is a sample too. Model and temperature are those above."


def draw(model: GenerativeModel, count: int, temperature: float, seed: int) -> Tensor:
    """Pictures (count, 3, H, W) in [0, 1], drawn in one pass."""
    jobs.allow({model: jobs.SAMPLE * count})
    return model.sample(count, temperature=temperature, seed=seed)


def tab(models: Models) -> None:
    """Lay out the tab and connect it; inside `gr.Blocks`. Without a model that samples, no tab."""
    samplers = {name: model for name, model in models.items() if can_sample(model)}
    if not samplers:
        return

    def sample(
        model: str,
        num_samples: int,
        temperature: float,
        seed: int | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[list[Image.Image], str]:
        """Draw pictures from nothing.

        Args:
            model: a name from the menu.
            num_samples: how many, 1 to 64.
            temperature: 0 the most typical picture, 1 latents at full scale, at most 1.2.
            seed: makes the samples repeatable.
            progress: filled in by gradio.

        Returns:
            the samples, each pixel shown as 4 x 4
            a PNG file with all of them at their own pixels
        """
        with readable():
            progress(0.1, desc="Drawing")
            samples = draw(samplers[model], num_samples, temperature, checked_seed(seed))
            progress(0.9, desc="Saving")
            whole = grid(samples, columns=round(num_samples**0.5 + 0.499))  # nearly a square
            (path,) = stored([whole], [f"{model}-seed{seed}.png"], gallery)
        return [to_image(each) for each in enlarged(samples)], path

    def interpolate(
        model: str,
        temperature: float,
        start: int | None,
        end: int | None,
        steps: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[Image.Image, str]:
        """Interpolate between two samples; every picture on the way is a sample too.

        Args:
            model: a name from the menu.
            temperature: 0 makes all alike, 1 latents at full scale, at most 1.2.
            start: seed of the first sample.
            end: seed of the last sample, another one.
            steps: how many pictures, both samples among them, 3 to 16.
            progress: filled in by gradio.

        Returns:
            the strip, each pixel shown as 4 x 4
            a PNG file with the strip at its own pixels
        """
        with readable():
            progress(0.1, desc="Drawing")
            jobs.allow({samplers[model]: jobs.SAMPLE * steps})
            samples = traversal.interpolate(
                samplers[model],
                checked_seed(start),
                checked_seed(end),
                steps=steps,
                temperature=temperature,
            )
            progress(0.9, desc="Saving")
            name = f"{model}-seed{start}-to-{end}.png"
            (path,) = stored([grid(samples, columns=steps)], [name], line)
        return strip(samples), path

    with gr.Tab("Prior samples", id="prior", elem_id="tab-prior"):
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                name = menu(samplers)
                with gr.Group():
                    temperature = temperature_slider(0.9, TEMPERATURE_INFO)
                    num_samples = gr.Slider(
                        1,
                        MOST_SAMPLES,
                        value=16,
                        step=1,
                        precision=0,
                        label="How many",
                        info="All are drawn in one pass.",
                    )
                    seed = seed_box()
                button = gr.Button("Draw samples", variant="primary", size="lg")
            with gr.Column(scale=3, min_width=320):
                gallery = gr.Gallery(
                    format="png",
                    columns=4,
                    height="auto",
                    object_fit="contain",
                    buttons=["download", "fullscreen"],
                    interactive=False,
                    label="Pictures from nothing, enlarged pixel by pixel",
                )
                download = gr.DownloadButton(
                    "Download the grid as PNG", interactive=False, size="md"
                )
        gr.Markdown("## From one sample to another")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                gr.Markdown(WAY, elem_classes="note")
                with gr.Group():
                    start = seed_box(0, "From seed")
                    end = seed_box(1, "To seed")
                    steps = gr.Slider(
                        3,
                        MOST_STEPS,
                        value=9,
                        step=1,
                        precision=0,
                        label="Steps",
                        info="Pictures of the strip, both samples among them.",
                    )
                go = gr.Button("Interpolate", variant="primary", size="lg")
            with gr.Column(scale=3, min_width=320):
                line = gr.Image(
                    format="png",
                    image_mode="RGBA",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    label="From the one sample to the other",
                    alt_text="A strip of samples that change from the first to the last",
                    elem_classes="below",
                )
                keep = gr.DownloadButton("Download the strip as PNG", interactive=False, size="md")

    answers(button, sample, [name, num_samples, temperature, seed], [gallery, download], "sample")
    answers(go, interpolate, [name, temperature, start, end, steps], [line, keep], "interpolate")
