"""The tab "Upscale": one image in, one or several larger ones out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.utils import LRUCache
from PIL import Image

from hvae_sr.demo import examples, jobs, uncertainty
from hvae_sr.demo.catalogue import Models, upscalers
from hvae_sr.demo.components import (
    count_slider,
    image_box,
    model_menu,
    seed_box,
    temperature_slider,
)
from hvae_sr.demo.files import read_image, stored
from hvae_sr.demo.tab import QUIET, Tab, run
from hvae_sr.demo.values import checked_index, checked_seed, readable, refusal
from hvae_sr.imaging import pixels
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.resize import enlarge
from hvae_sr.upscaling import UpscaleOutput, Upscaler
from hvae_sr.upscaling.images import Settings, records

MOST_SAMPLES = 16
MOST_KEPT = 256  # sessions in which another sample can be chosen: a few kB each
DOT = " · "  # between two figures

TEMPERATURE_INFO = "0: the single best guess. 0.8: plausible detail. 1: latents at full scale."
CONSISTENT_INFO = "Adjusts the answer so that, shrunk again, it gives back your image."
LR_PSNR_INFO = "LR-PSNR compares your image with the answer shrunk again: from 45 dB on they agree."
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

    @property
    def is_kept(self) -> bool:
        """Whether all its files are still there."""
        return all(Path(each).is_file() for each in (self.before, *self.files))


def bicubic(image: Image.Image, scale: int) -> Image.Image:
    """The image enlarged by interpolation, its alpha, greyness and depth kept."""
    lr, rest = pixels.split(image)
    return pixels.join(enlarge(lr, scale)[0].clamp(0, 1), pixels.enlarged(rest, scale))


class UpscaleTab(Tab[SuperResolutionModel]):
    """Enlarges one image."""

    title = "Upscale"
    id = "upscale"

    def __init__(self, models: Models):
        super().__init__(models)
        # On the server, so that no path which a browser names is ever given back. Not gr.State:
        # MCP clients of actions that return one get an error.
        self.kept: LRUCache[str | None, Shown] = LRUCache(MOST_KEPT)

    def suitable(self, models: Models) -> dict[str, SuperResolutionModel]:
        return upscalers(models)

    def upscale(
        self,
        image: str | None,
        model: str,
        num_samples: int,
        temperature: float,
        seed: int | None,
        consistent: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[tuple[str, str], str, list[tuple[str, str]], Image.Image | None, str, str]:
        """Enlarge an image; answers keep its alpha, greyness and 16-bit depth.

        Args:
            image: PNG, JPEG, WebP, TIFF, BMP, GIF or PPM; pixels x samples at most 262144.
            model: a name from the menu.
            num_samples: how many answers, 1 to 16; 1 for a deterministic model.
            temperature: 0 the best guess, 1 latents at full scale, at most 1.2; 0 for such a model.
            seed: makes the samples repeatable.
            consistent: project the answers onto images that shrink to the input.
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
            chosen = self.models[model]
            _check_choices(model, chosen, num_samples, temperature)
            settings = Settings(num_samples, temperature, checked_seed(seed), consistent)
            given = read_image(image, num_samples)
            jobs.allow({chosen: given.width * given.height * num_samples})
            file = Path(str(image))
            progress(0.1, desc="Upscaling")
            start = time.perf_counter()
            found = Upscaler(chosen)(
                given,
                num_samples=num_samples,
                temperature=temperature,
                seed=settings.seed,
                consistent=consistent,
            )
            seconds = time.perf_counter() - start
            progress(0.9, desc="Saving")
            std_map, legend = _uncertainty(chosen, found)
            before, *after = stored(
                [bicubic(given, chosen.scale), *found.images],
                _names(file.stem, chosen.scale, num_samples),
                [None, *records(file, chosen, settings)],
            )
        captions = _captions(found)
        several = list(zip(after, captions, strict=True)) if num_samples > 1 else []
        figures = [_figures(chosen, found, captions, n, seconds) for n in range(num_samples)]
        self.kept[request.session_hash] = Shown(before, tuple(after), tuple(figures))
        return (before, after[0]), figures[0], several, std_map, legend, after[0]

    def show_choices(self, model: str) -> tuple[dict, dict, dict, dict]:
        """What of temperature, samples and seed a model has, and a note where it has none."""
        generative = isinstance(self.models[model], GenerativeModel)
        return (
            gr.update(visible=generative),
            gr.update() if generative else gr.update(value=0),
            gr.update() if generative else gr.update(value=1),
            gr.update(visible=not generative),
        )

    def show_samples(self, request: gr.Request) -> tuple[dict, dict]:
        """The samples of this session's answer, where there are several; the first is chosen."""
        shown = self.kept.get(request.session_hash)
        several = shown is not None and len(shown.files) > 1
        return gr.update(visible=several), gr.update(selected_index=0)

    def show_sample(
        self, request: gr.Request, chosen: gr.SelectData
    ) -> tuple[tuple[str, str], str, str]:
        """Another sample of this session's answer.

        Raises:
            gr.Error: when it is no longer kept, or there is no such sample.
        """
        shown = self.kept.get(request.session_hash)
        if shown is None or not shown.is_kept:
            raise refusal("these samples are no longer kept: upscale the image again")
        index = checked_index(chosen.index, len(shown.files))
        return (shown.before, shown.files[index]), shown.figures[index], shown.files[index]

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self._lay_out_choices()
            with gr.Column(scale=3, min_width=320):
                self._lay_out_answer()

    def _lay_out_choices(self) -> None:
        self.image = image_box()
        examples.offer(self.image)
        self.model = model_menu(self.models)
        with gr.Group() as self.choices:
            self.temperature = temperature_slider(0, TEMPERATURE_INFO)
            info = "Several samples show what the image leaves open."
            self.num_samples = count_slider(1, MOST_SAMPLES, 1, "Number of samples", info)
            self.seed = seed_box()
        self.deterministic = gr.Markdown(DETERMINISTIC, visible=False, elem_classes="note")
        self.consistent = gr.Checkbox(label="LR-consistent", info=CONSISTENT_INFO)
        self.button = gr.Button("Upscale", variant="primary", size="lg")

    def _lay_out_answer(self) -> None:
        self.answer = gr.ImageSlider(
            format="png",
            type="filepath",
            image_mode=None,
            interactive=False,
            buttons=["fullscreen"],
            max_height=640,
            label="Left: bicubic. Right: the model",
            elem_id="answer",
        )
        self.figures = gr.Markdown(label="Size, LR-PSNR, time and seed", elem_classes="figures")
        gr.Markdown(LR_PSNR_INFO, elem_classes="note")
        self.file = gr.DownloadButton("Download the PNG", interactive=False, size="md")
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
                label="Samples, with their LR-PSNR: choose one to compare and download it",
                elem_classes="pairs",
            )
            self.std_map = gr.Image(
                format="png",
                interactive=False,
                buttons=["download", "fullscreen"],
                label="Uncertainty: standard deviation over the samples",
                alt_text="Map of the standard deviation of each pixel over the samples",
                elem_classes="below",
            )
        self.legend = gr.HTML(_note(ONE_SAMPLE), label="Scale of the map")

    def connect(self) -> None:
        self.model.change(
            self.show_choices,
            self.model,
            [self.choices, self.temperature, self.num_samples, self.deterministic],
            **QUIET,
        )
        running = run(
            self.button,
            self.upscale,
            [
                self.image,
                self.model,
                self.num_samples,
                self.temperature,
                self.seed,
                self.consistent,
            ],
            [self.answer, self.figures, self.gallery, self.std_map, self.legend, self.file],
            api_name="upscale",
        )
        running.success(self.show_samples, None, [self.several, self.gallery], **QUIET)
        self.gallery.select(self.show_sample, None, [self.answer, self.figures, self.file], **QUIET)


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
    values = uncertainty.pixel_std(found.std)
    top = max(float(values.max()), 1.0)  # below one grey level there is nothing to see
    return uncertainty.coloured(values, top), uncertainty.legend(top, len(found.images))


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
