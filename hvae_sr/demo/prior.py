"""The tab "Prior samples": pictures from nothing."""

import gradio as gr
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from hvae_sr.degradation import enlarge
from hvae_sr.demo.shared import (
    Models,
    can_sample,
    checked_seed,
    menu,
    readable,
    seed_box,
    stored,
    temperature_slider,
)
from hvae_sr.generative import GenerativeModel
from hvae_sr.pictures import to_image

MOST_SAMPLES = 64
ENLARGEMENT = 4  # the models draw 32x32 pixels, too small to see

TEMPERATURE_INFO = "Lower is smoother and more typical, 1 is what the model believes."


def draw(model: GenerativeModel, count: int, temperature: float, seed: int) -> Tensor:
    """Pictures (count, 3, H, W) in [0, 1], drawn in one pass."""
    return model.sample(count, temperature=temperature, seed=seed)


def grid(samples: Tensor) -> Image.Image:
    """Samples (N, 3, H, W), as near to a square as N allows, at their own pixels."""
    columns = min(len(samples), round(len(samples) ** 0.5 + 0.499))
    return to_image(make_grid(samples, nrow=columns, padding=2, pad_value=1.0))


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
            temperature: 0 the most typical picture, 1 true samples, at most 1.2.
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
            (path,) = stored([grid(samples)], [f"{model}-seed{seed}.png"], gallery)
            shown = [to_image(each) for each in enlarge(samples, ENLARGEMENT, "nearest")]
        return shown, path

    with gr.Tab("Prior samples", id="prior"), gr.Row():
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
            download = gr.DownloadButton("Download the grid as PNG", interactive=False, size="md")

    button.click(
        sample,
        [name, num_samples, temperature, seed],
        [gallery, download],
        api_name="sample",
        concurrency_id="model",
        show_progress_on=gallery,
        scroll_to_output=True,
    ).success(
        lambda: gr.update(interactive=True),
        None,
        download,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
