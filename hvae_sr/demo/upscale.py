"""The tab "Upscale": one image in, one or several larger ones out."""

import time
from typing import Any

import gradio as gr
from gradio.utils import LRUCache
from PIL import Image

from hvae_sr.demo import jobs, limits
from hvae_sr.demo.answers import ExampleAnswers, Shown, label, saved, std_map
from hvae_sr.demo.catalogue import Models, first, upscalers
from hvae_sr.demo.output import LOSSY, Output
from hvae_sr.demo.progress import Steps
from hvae_sr.demo.requests import checked
from hvae_sr.demo.tab import QUIET, Tab, documented
from hvae_sr.demo.upscale_view import DEFAULTS, AnswerView, Choices
from hvae_sr.demo.values import checked_index, checked_seed, readable, refusal
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.upscaling import UpscaleOptions

MOST_KEPT = 256  # sessions in which another sample can be chosen: a few kB each


class UpscaleTab(Tab[SuperResolutionModel]):
    """Enlarges one image."""

    title = "Upscale"
    id = "upscale"

    def __init__(self, models: Models):
        super().__init__(models)
        # On the server, so that no path which a browser names is ever given back. Not gr.State:
        # MCP clients of actions that return one get an error.
        self.kept: LRUCache[str | None, Shown] = LRUCache(MOST_KEPT)
        self.examples = ExampleAnswers()

    def suitable(self, models: Models) -> dict[str, SuperResolutionModel]:
        return upscalers(models)

    @documented
    def upscale(
        self,
        image: str | None,
        model: str,
        num_samples: int,
        temperature: float,
        seed: int | None,
        consistent: bool,
        size: str,
        file_format: str,
        quality: int,
        shrink: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (gradio looks for it here)
    ) -> tuple[
        tuple[str, str],
        dict[str, Any],
        list[tuple[str, str]],
        Image.Image | None,
        str | None,
        str,
    ]:
        """Enlarge an image; answers keep its alpha, greyness and, in PNG and TIFF, 16-bit depth.

        Args:
            image: PNG, JPEG, WebP, TIFF, BMP, GIF or PPM. How large it may be follows from the
                model and the number of samples; a refusal names a size that is taken.
            model: a name from the menu.
            num_samples: how many answers, 1 to 16; at temperature 0 there is one.
            temperature: 0 the best guess, 1 latents at full scale, at most 1.2; 0 for a model that
                is deterministic.
            seed: makes the samples repeatable.
            consistent: project the answers onto images that shrink to the input.
            size: "model" for the model's own scale, a factor such as "2x", a name such as "4k", or
                WIDTHxHEIGHT to fit into.
            file_format: "PNG", "JPEG", "WebP" or "TIFF".
            quality: 1 to 100, of JPEG and WebP.
            shrink: shrink an image that is too large until it is taken.
            request, progress: filled in by gradio.

        Returns:
            the bicubic enlargement and the first answer, reduced where they are large
            model, settings, sizes, LR-PSNR in dB and seconds
            all answers when there are several, reduced where they are large
            the map of the standard deviation over the samples, or null
            all answers in one zip file when there are several, or null
            the first answer as a file, which records how it was made
        """
        with readable():
            options = UpscaleOptions(
                num_samples=num_samples if temperature > 0 else 1,  # the others would be the same
                temperature=temperature,
                seed=checked_seed(seed),
                consistent=consistent,
            )
            wanted = Output(file_format, quality, size)
            asked = checked(image, self.models[model], options, wanted, shrink)
            pixels_drawn = asked.image.width * asked.image.height * asked.options.num_samples
            with jobs.turn({asked.model: pixels_drawn}):
                start = time.perf_counter()
                found = self.examples.answer(asked, Steps(progress, "Upscaling"))
                seconds = time.perf_counter() - start
                progress(0.99, desc="Saving")
                shown, archive = saved(asked, found, seconds)
        self.kept[request.session_hash] = shown
        labels = [label(each) for each in shown.numbers]
        several = list(zip(shown.views, labels, strict=True)) if len(labels) > 1 else []
        return (
            (shown.before, shown.views[0]),
            shown.numbers[0],
            several,
            std_map(found),
            archive,
            shown.files[0],
        )

    def show_choices(self, model: str) -> tuple[dict, dict, dict, dict]:
        """What of temperature, samples and seed a model has, and a note where it has none."""
        generative = isinstance(self.models[model], GenerativeModel)
        return (
            gr.update(visible=generative),
            gr.update() if generative else gr.update(value=DEFAULTS.used_temperature),
            gr.update() if generative else gr.update(value=DEFAULTS.num_samples),
            gr.update(visible=not generative),
        )

    def show_limit(self, model: str, num_samples: int, temperature: float) -> str:
        """The largest image that is taken, in words."""
        samples = num_samples if temperature > 0 else 1
        most = limits.largest([limits.Work(self.models[model], samples)])
        side = int((most / 12) ** 0.5)  # of the usual 4:3
        return (
            f"Up to **{limits.megapixels(most)} megapixels** with these settings, such as "
            f"{4 * side} x {3 * side}."
        )

    def show_quality(self, file_format: str) -> dict:
        """The quality of a format that has one."""
        return gr.update(visible=file_format in LOSSY)

    def show_samples(self, request: gr.Request) -> tuple[dict, dict, dict]:
        """The samples of this session's answer, where there are several; the first is chosen."""
        shown = self.kept.get(request.session_hash)
        several = shown is not None and len(shown.files) > 1
        return gr.update(visible=several), gr.update(selected_index=0), gr.update(visible=several)

    def show_sample(
        self, request: gr.Request, chosen: gr.SelectData
    ) -> tuple[tuple[str, str], dict[str, Any], str]:
        """Another sample of this session's answer.

        Raises:
            gr.Error: when it is no longer kept, or there is no such sample.
        """
        shown = self.kept.get(request.session_hash)
        if shown is None or not shown.is_kept:
            raise refusal("these samples are no longer kept: upscale the image again")
        index = checked_index(chosen.index, len(shown.files))
        return (shown.before, shown.views[index]), shown.numbers[index], shown.files[index]

    def lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.choices = Choices(self.models, self.show_limit(first(self.models), 1, 0))
            with gr.Column(scale=3, min_width=320):
                self.view = AnswerView()

    @property
    def settings(self) -> dict[str, gr.Component]:
        of = self.choices
        return {
            "model": of.model,
            "num_samples": of.num_samples,
            "temperature": of.temperature,
            "seed": of.seed,
            "consistent": of.consistent,
            "size": of.size,
            "file_format": of.file_format,
            "quality": of.quality,
            "shrink": of.shrink,
        }

    def connect(self) -> None:
        of, view = self.choices, self.view
        of.model.change(
            self.show_choices,
            of.model,
            [of.generative, of.temperature, of.num_samples, of.deterministic],
            **QUIET,
        )
        bounds = [of.model, of.num_samples, of.temperature]
        for each in bounds:
            each.change(self.show_limit, bounds, of.limit, **QUIET)
        of.file_format.change(self.show_quality, of.file_format, of.quality, **QUIET)
        running = of.action.run(
            self.upscale,
            [of.image, *self.settings.values()],
            [view.slider, view.figures, view.gallery, view.std_map, view.archive, view.file],
            download=view.file,
            old=view.old,
        )
        running.success(
            self.show_samples, None, [view.several, view.gallery, view.archive], **QUIET
        )
        view.gallery.select(self.show_sample, None, [view.slider, view.figures, view.file], **QUIET)
        of.examples.load_input_event.success(
            None, None, None, js=of.action.press, api_visibility="private"
        )
