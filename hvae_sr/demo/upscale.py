"""The tab "Upscale": one picture in, one or several larger ones out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.utils import LRUCache
from PIL import Image

from hvae_sr.demo import examples, jobs, spread
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
from hvae_sr.demo.values import checked_index, refusal
from hvae_sr.imaging import pixels
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.resize import enlarge
from hvae_sr.upscaling import UpscaleOptions, UpscaleOutput, Upscaler
from hvae_sr.upscaling.records import records

DEFAULTS = UpscaleOptions()
MOST_SAMPLES = 16
MOST_KEPT = 256  # sessions in which another sample can be chosen: a few kB each
DOT = " · "  # between two figures

TEMPERATURE_INFO = "0: the single best guess. 0.8: plausible detail. 1: latents at full scale."
CONSISTENT_INFO = "Adjusts the answer so that, shrunk again, it gives back your picture."
LR_PSNR_INFO = (
    "LR-PSNR compares your picture with the answer shrunk again: from 45 dB on they agree."
)
ONE_SAMPLE = "The uncertainty map needs several samples: ask for at least 2, above temperature 0."
IDENTICAL = "At temperature 0 all samples are identical: raise it to see where they differ."
DETERMINISTIC = "This model has one answer: it has no temperature, no samples and no uncertainty."


@dataclass(frozen=True)
class Shown:
    """What is shown of a finished answer, and what replaces it when another sample is chosen.

    Args:
        before: file of the bicubic enlargement.
        files: of the samples.
        figures: of each sample, in words.
    """

    before: str
    files: tuple[str, ...]
    figures: tuple[str, ...]


def bicubic(image: Image.Image, scale: int) -> Image.Image:
    """The picture enlarged by interpolation, its alpha, greyness and depth kept."""
    lr, rest = pixels.split(image)
    return pixels.join(enlarge(lr, scale)[0].clamp(0, 1), pixels.enlarged(rest, scale))


def tab(models: Models) -> None:
    """Lay out the tab and connect it; inside `gr.Blocks`."""
    models = {name: model for name, model in models.items() if model.degradation is not None}
    # On the server, so that no path which a browser names is ever given back. Not gr.State: MCP
    # clients of actions that return one get an error.
    kept: LRUCache[str | None, Shown] = LRUCache(MOST_KEPT)

    def upscale(
        picture: str | None,
        model: str,
        num_samples: int,
        temperature: float,
        seed: int | None,
        consistent: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[tuple[str, str], str, list[tuple[str, str]], Image.Image | None, str, str]:
        """Enlarge a picture; answers keep its alpha, greyness and 16-bit depth.

        Args:
            picture: PNG, JPEG, WebP, TIFF, BMP, GIF or PPM; pixels x samples at most 262144.
            model: a name from the menu.
            num_samples: how many answers, 1 to 16; 1 for a deterministic model.
            temperature: 0 the best guess, 1 latents at full scale, at most 1.2; 0 for such a model.
            seed: makes the samples repeatable.
            consistent: project the answers onto pictures that shrink to the input.
            request, progress: filled in by gradio.

        Returns:
            the bicubic enlargement and the first answer
            size, LR-PSNR, time and seed as text
            all answers when there are several, with the LR-PSNR of each
            the uncertainty map, or null
            the scale of the map, or why there is none
            the first answer as a PNG file, which records how it was made
        """
        with readable():
            chosen = models[model]
            _check_choices(model, chosen, num_samples, temperature)
            options = UpscaleOptions(
                num_samples, temperature, checked_seed(seed), consistent=consistent
            )
            image = read_picture(picture, num_samples)
            jobs.allow({chosen: image.width * image.height * num_samples})
            file = Path(str(picture))
            progress(0.1, desc="Upscaling")
            start = time.perf_counter()
            found = Upscaler(chosen, options)(image)
            seconds = time.perf_counter() - start
            progress(0.9, desc="Saving")
            heatmap, legend = _uncertainty(chosen, found)
            before, *after = stored(
                [bicubic(image, chosen.scale), *found.images],
                _names(file.stem, chosen.scale, num_samples),
                box,
                [None, *records(file, chosen, options)],
            )
        captions = _captions(found)
        several = list(zip(after, captions, strict=True)) if num_samples > 1 else []
        figures = [_figures(chosen, found, captions, n, seconds) for n in range(num_samples)]
        kept[request.session_hash] = Shown(before, tuple(after), tuple(figures))
        return (before, after[0]), figures[0], several, heatmap, legend, after[0]

    with gr.Tab("Upscale", id="upscale", elem_id="tab-upscale"), gr.Row():
        with gr.Column(scale=2, min_width=320):
            box = picture_box()
            examples.offer(box)
            name = menu(models)
            with gr.Group() as choices:
                temperature = temperature_slider(DEFAULTS.used_temperature, TEMPERATURE_INFO)
                num_samples = gr.Slider(
                    1,
                    MOST_SAMPLES,
                    value=DEFAULTS.num_samples,
                    step=1,
                    precision=0,
                    label="Number of samples",
                    info="Several samples show what the picture leaves open.",
                )
                seed = seed_box()
            deterministic = gr.Markdown(DETERMINISTIC, visible=False, elem_classes="note")
            consistent = gr.Checkbox(
                value=DEFAULTS.consistent, label="LR-consistent", info=CONSISTENT_INFO
            )
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
                    type="filepath",
                    columns=4,
                    height="auto",
                    object_fit="contain",
                    buttons=[],
                    allow_preview=False,
                    interactive=False,
                    label="Samples, with their LR-PSNR: choose one to compare and download it",
                    elem_classes="pairs",
                )
                heatmap = gr.Image(
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    label="Uncertainty: standard deviation over the samples",
                    alt_text="Map of the standard deviation of each pixel over the samples",
                    elem_classes="below",
                )
            legend = gr.HTML(_note(ONE_SAMPLE), label="Scale of the map")

    def show_choices(model: str) -> list[dict]:
        generative = isinstance(models[model], GenerativeModel)
        return [
            gr.update(visible=generative),
            gr.update() if generative else gr.update(value=DEFAULTS.used_temperature),
            gr.update() if generative else gr.update(value=DEFAULTS.num_samples),
            gr.update(visible=not generative),
        ]

    def show_several(request: gr.Request) -> list[dict]:
        shown = kept.get(request.session_hash)
        return [
            gr.update(visible=shown is not None and len(shown.files) > 1),
            gr.update(selected_index=0),
            gr.update(interactive=True),
        ]

    def show_sample(request: gr.Request, chosen: gr.SelectData) -> tuple[tuple[str, str], str, str]:
        shown = kept.get(request.session_hash)
        if shown is None or not all(Path(each).is_file() for each in (shown.before, *shown.files)):
            raise refusal("these samples are no longer kept: upscale the picture again")
        index = checked_index(chosen.index, len(shown.files))
        return (shown.before, shown.files[index]), shown.figures[index], shown.files[index]

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
        None,
        [several, gallery, download],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    gallery.select(
        show_sample,
        None,
        [slider, figures, download],
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
    model: SuperResolutionModel, found: UpscaleOutput
) -> tuple[Image.Image | None, str]:
    """The map and the HTML under it, which says why when there is no map."""
    if not isinstance(model, GenerativeModel):
        return None, _note(DETERMINISTIC)
    if len(found.images) == 1 or found.std is None:
        return None, _note(ONE_SAMPLE)
    if found.temperature == 0:
        return None, _note(IDENTICAL)
    values = spread.deviation(found.std)
    top = max(float(values.max()), 1.0)  # below one grey level there is nothing to see
    return spread.coloured(values, top), spread.legend(top, len(found.images))


def _note(sentence: str) -> str:
    return f'<p class="note">{sentence}</p>'


def _figures(
    model: SuperResolutionModel,
    found: UpscaleOutput,
    captions: Sequence[str],
    index: int,
    seconds: float,
) -> str:
    """Size, place among the samples, LR-PSNR, time and seed of one answer."""
    assert isinstance(found.mean, Image.Image)
    width, height = found.mean.size
    size = f"**{width} x {height}** from {width // model.scale} x {height // model.scale}"
    seed = [f"seed {found.seed}"] if isinstance(model, GenerativeModel) else []
    place = [f"sample {index + 1} of {len(captions)}"] if len(captions) > 1 else []
    _, value = captions[index].split(": ")
    return DOT.join([size, *place, f"LR-PSNR **{value}**", f"{seconds:.2f} s", *seed])


def _captions(found: UpscaleOutput) -> list[str]:
    if found.lr_psnr is None:
        return [f"{index}: not defined" for index in range(1, len(found.images) + 1)]
    values = found.lr_psnr[0].tolist()
    return [f"{index}: {value:.1f} dB" for index, value in enumerate(values, start=1)]


def _names(stem: str, scale: int, count: int) -> list[str]:
    more = [f"{stem}-x{scale}-{index}.png" for index in range(2, count + 1)]
    return [f"{stem}-bicubic.png", f"{stem}-x{scale}.png", *more]
