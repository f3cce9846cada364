"""The tab "Upscale": one image in, one or several larger ones out."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import LRUCache
from PIL import Image

from hvae_sr.demo import examples, jobs, limits, output, uncertainty
from hvae_sr.demo.catalogue import Models, first, upscalers
from hvae_sr.demo.components import (
    count_slider,
    format_menu,
    image_box,
    model_menu,
    quality_slider,
    seed_box,
    size_menu,
    temperature_slider,
)
from hvae_sr.demo.files import new_folder, read_image, stored
from hvae_sr.demo.output import LOSSY, Output, is_large, reduced, resized
from hvae_sr.demo.progress import Steps
from hvae_sr.demo.report import UPSCALED, report
from hvae_sr.demo.tab import QUIET, Action, Tab, documented
from hvae_sr.demo.values import checked_index, checked_seed, readable, refusal
from hvae_sr.imaging import pixels
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.resize import enlarge
from hvae_sr.upscaling import UpscaleOptions, UpscaleOutput, Upscaler
from hvae_sr.upscaling.records import records

DEFAULTS = UpscaleOptions()
MOST_SAMPLES = 16
MOST_KEPT = 256  # sessions in which another sample can be chosen: a few kB each

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
SHRINK = "Shrink a larger image to fit"
DETERMINISTIC = "This model has one answer: it has no temperature, no samples and no uncertainty."
OLD = "Settings have changed since: press Upscale again for a new result."
# Only where there is a result that could be old.
MARK_OLD = """() => ({ __type__: 'update',
  visible: Boolean(document.querySelector('#answer img')) })"""
MARK_NEW = "() => ({ __type__: 'update', visible: false })"


@dataclass(frozen=True)
class Shown:
    """What is shown of a finished answer, and what replaces it when another sample is chosen.

    Args:
        before: file of the bicubic enlargement.
        views: what the page shows of each sample.
        files: of the samples.
        numbers: of each sample.
    """

    before: str
    views: tuple[str, ...]
    files: tuple[str, ...]
    numbers: tuple[dict[str, Any], ...]

    @property
    def is_kept(self) -> bool:
        """Whether all its files are still there."""
        return all(Path(each).is_file() for each in (self.before, *self.views, *self.files))


@dataclass(frozen=True)
class Request:
    """A checked wish: which image, by which model, how, and how it is saved."""

    file: Path
    image: Image.Image
    model: SuperResolutionModel
    options: UpscaleOptions
    output: Output
    shrunk: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the answers."""
        width, height = self.image.size
        return self.options.size or (width * self.model.scale, height * self.model.scale)

    @property
    def names(self) -> list[str]:
        """What the file of each sample is called: by image, model, and what else made it."""
        parts = [self.file.stem, self.model.name]
        if self.options.size:
            parts.append("{}x{}".format(*self.options.size))
        if self.options.used_temperature:
            parts.append(f"T{self.options.used_temperature:g}-seed{self.options.seed}")
        stem, count = "-".join(parts), self.options.num_samples
        if count == 1:
            return [stem + self.output.suffix]
        return [f"{stem}-sample{n}{self.output.suffix}" for n in range(1, count + 1)]


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
            asked = self._asked(image, model, options, Output(file_format, quality, size), shrink)
            pixels_drawn = asked.image.width * asked.image.height * asked.options.num_samples
            with jobs.turn({asked.model: pixels_drawn}):
                start = time.perf_counter()
                found = self._answer(asked, Steps(progress, "Upscaling"))
                seconds = time.perf_counter() - start
                progress(0.99, desc="Saving")
                shown, archive = self._saved(asked, found, seconds)
        self.kept[request.session_hash] = shown
        labels = [_label(each) for each in shown.numbers]
        several = list(zip(shown.views, labels, strict=True)) if len(labels) > 1 else []
        return (
            (shown.before, shown.views[0]),
            shown.numbers[0],
            several,
            _std_map(found),
            archive,
            shown.files[0],
        )

    def _asked(
        self, path: str | None, name: str, options: UpscaleOptions, wanted: Output, shrink: bool
    ) -> Request:
        """A request within the limits.

        Raises:
            ImageError: for no image, or one that cannot be read, is too large, or could not be
                saved so.
            ValueError: for settings that the model does not have.
        """
        model = self.models[name]
        if options.used_temperature > 0 and not isinstance(model, GenerativeModel):
            raise ValueError(f"{name} has one answer: set temperature 0, or choose another model")
        image = read_image(path)
        wanted.check(image)
        most = limits.largest([limits.Work(model, options.num_samples)])
        fitting = limits.shrunk(image.size, most)
        shrunk = shrink and fitting != image.size
        if shrunk:
            lr, rest = pixels.split(image)
            image = pixels.join(lr[0], rest).resize(fitting, Image.Resampling.LANCZOS)
        advice = f'tick "{SHRINK}"' if options.num_samples == 1 else "ask for fewer samples"
        limits.check(image.size, most, advice)
        size = wanted.target(image.size, model.scale)
        options = replace(options, size=size, quality=wanted.used_quality)
        return Request(Path(str(path)), image, model, options, wanted, shrunk)

    @staticmethod
    def _answer(asked: Request, steps: Steps) -> UpscaleOutput:
        # One pass of the model, whose answer is then resized: its figures are of that pass.
        upscaler = Upscaler(asked.model, replace(asked.options, size=None), progress=steps)
        if asked.options.used_temperature == 0 and is_large(asked.size):
            # All that a call says beside the image would take twice the memory.
            images = upscaler.images(asked.image)
            return UpscaleOutput(images, images[0], None, None, 0.0, 0)
        return upscaler(asked.image)

    @staticmethod
    def _saved(asked: Request, found: UpscaleOutput, seconds: float) -> tuple[Shown, str | None]:
        """The files of an answer, and the zip of several ones."""
        target, large = asked.options.size, is_large(asked.size)
        images = [resized(each, target) for each in found.images]
        made = records(asked.file, asked.model, asked.options)
        if asked.shrunk:
            made = [{**each, "shrunk": list(asked.image.size)} for each in made]
        files = stored(images, asked.names, made, asked.options.quality)
        if large:
            before = asked.image.copy()
            before.thumbnail((output.PREVIEW, output.PREVIEW), Image.Resampling.BICUBIC)
            before = reduced(before).resize(reduced(images[0]).size, Image.Resampling.BICUBIC)
        else:
            before = resized(bicubic(asked.image, asked.model.scale), target)
        views = files
        if large or asked.output.format != "PNG":
            seen = [reduced(each) if large else each for each in images]
            views = stored(seen, [f"{Path(name).stem}.png" for name in asked.names])
        (bicubic_file,) = stored([before], [f"{asked.file.stem}-bicubic.png"])
        archive = None
        if len(files) > 1:
            stem = Path(asked.names[0]).stem.removesuffix("-sample1")
            archive = output.archive(files, new_folder() / f"{stem}-samples.zip")
        numbers = _numbers(asked, found, seconds)
        return Shown(bicubic_file, tuple(views), tuple(files), tuple(numbers)), archive

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
                self._lay_out_choices()
            with gr.Column(scale=3, min_width=320):
                self._lay_out_answer()

    def _lay_out_choices(self) -> None:
        start = first(self.models)
        generative = isinstance(self.models[start], GenerativeModel)
        self.image = image_box()
        self.limit = gr.Markdown(self.show_limit(start, 1, 0), elem_classes="note")
        self.model = model_menu(self.models)
        self.action = Action.laid_out("Upscale")
        examples.offer(self.image)
        with gr.Group(visible=generative) as self.choices:
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
        self.old = gr.Markdown(OLD, visible=False, elem_classes="old")
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

    def connect(self) -> None:
        self.model.change(
            self.show_choices,
            self.model,
            [self.choices, self.temperature, self.num_samples, self.deterministic],
            **QUIET,
        )
        bounds = [self.model, self.num_samples, self.temperature]
        for each in bounds:
            each.change(self.show_limit, bounds, self.limit, **QUIET)
        self.file_format.change(self.show_quality, self.file_format, self.quality, **QUIET)
        inputs = [
            self.image,
            self.model,
            self.num_samples,
            self.temperature,
            self.seed,
            self.consistent,
            self.size,
            self.file_format,
            self.quality,
            self.shrink,
        ]
        for each in inputs:
            each.change(None, None, self.old, js=MARK_OLD, api_visibility="private")
        self.action.start.click(None, None, self.old, js=MARK_NEW, api_visibility="private")
        running = self.action.run(
            self.upscale,
            inputs,
            [self.answer, self.figures, self.gallery, self.std_map, self.archive, self.file],
            download=self.file,
        )
        running.success(
            self.show_samples, None, [self.several, self.gallery, self.archive], **QUIET
        )
        self.gallery.select(self.show_sample, None, [self.answer, self.figures, self.file], **QUIET)


def _std_map(found: UpscaleOutput) -> Image.Image | None:
    """The map of the standard deviation, where several samples show it."""
    if found.std is None or len(found.images) == 1:
        return None
    values = uncertainty.pixel_std(found.std)
    return reduced(uncertainty.coloured(values, _top(found)))


def _top(found: UpscaleOutput) -> float:
    """The largest standard deviation; below one grey level there is nothing to see."""
    assert found.std is not None
    return max(float(uncertainty.pixel_std(found.std).max()), 1.0)


def _numbers(asked: Request, found: UpscaleOutput, seconds: float) -> list[dict[str, Any]]:
    """What clients are told of each sample."""
    count, drawn = len(found.images), asked.options.used_temperature > 0
    quality = [None] * count if found.lr_psnr is None else found.lr_psnr[0].tolist()
    shared = {
        "model": asked.model.name,
        "scale": asked.model.scale,
        "input_width": asked.image.width,
        "input_height": asked.image.height,
        "width": asked.size[0],
        "height": asked.size[1],
        "temperature": asked.options.used_temperature,
        "drawn": drawn,
        "seed": asked.options.seed if drawn else None,
        "consistent": asked.options.consistent,
        "shrunk": asked.shrunk,
        "reduced": is_large(asked.size),
        "num_samples": count,
        "several": count > 1,
        "std_max": round(_top(found), 1) if found.std is not None and count > 1 else None,
        "seconds": round(seconds, 2),
    }
    return [
        {**shared, "sample": n, "lr_psnr": None if value is None else round(value, 1)}
        for n, value in enumerate(quality, start=1)
    ]


def _label(numbers: dict[str, Any]) -> str:
    value = numbers["lr_psnr"]
    return f"{numbers['sample']}: " + ("not defined" if value is None else f"{value} dB")
