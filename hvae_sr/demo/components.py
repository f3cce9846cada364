"""The components that several tabs have."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from hvae_sr.demo.catalogue import FIRST, Models, described, first
from hvae_sr.demo.output import FORMATS, QUALITY, SIZES
from hvae_sr.demo.values import LARGEST_SEED, own

LARGEST_TEMPERATURE = 1.2
OLD = "Settings have changed since this result: start again for a new one."
RANDOM_SEED = f"() => Math.floor(Math.random() * {LARGEST_SEED})"


def model_menu(models: Models, wanted: Sequence[str] = FIRST) -> gr.Dropdown:
    """A menu of models that says what each one is."""
    value = first(models, wanted)
    return gr.Dropdown(described(models), value=value, label="Model", filterable=False)


def old_mark() -> gr.Markdown:
    """Seen above a result that other settings made."""
    return gr.Markdown(OLD, visible=False, elem_classes="old")


def temperature_slider(value: float, info: str) -> gr.Slider:
    return gr.Slider(0, LARGEST_TEMPERATURE, value=value, step=0.05, label="Temperature", info=info)


def count_slider(least: int, most: int, value: int, label: str, info: str) -> gr.Slider:
    """A slider of whole numbers."""
    return gr.Slider(least, most, value=value, step=1, precision=0, label=label, info=info)


def seed_box(value: int = 0, label: str = "Seed") -> gr.Number:
    """A seed that is shown and can be used again, with a button that draws another one."""
    another = gr.Button("Random seed", size="sm", render=False)
    seed = gr.Number(
        value,
        label=label,
        info="The same seed gives the same result.",
        precision=0,
        minimum=0,
        maximum=LARGEST_SEED,
        buttons=[another],
    )
    another.click(None, outputs=seed, js=RANDOM_SEED)
    return seed


def format_menu() -> gr.Radio:
    """What answers are saved as."""
    return gr.Radio(list(FORMATS), value="PNG", label="File format")


def quality_slider() -> gr.Slider:
    """Of lossy formats, so not seen at first."""
    return gr.Slider(1, 100, value=QUALITY, step=1, precision=0, label="Quality", visible=False)


def size_menu() -> gr.Dropdown:
    """How large answers are; other sizes can be typed."""
    return gr.Dropdown(
        SIZES,
        value="model",
        label="Size",
        info="Or type a factor, such as 2.5x, or a size to fit into, such as 1600x1200.",
        allow_custom_value=True,
    )


def image_box() -> gr.Image:
    """A box for images that hands over the uploaded file, whatever it holds.

    gr.Image would open the file first: without limits, and with errors that tell server paths.
    """
    box = gr.Image(
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        buttons=[],
        label="Image",
        height=256,
        placeholder="Drop an image here\n- or -\nClick to choose one",
        alt_text="The image to enlarge",
    )
    box.preprocess = uploaded_path
    return box


def movie_box() -> gr.Video:
    """A box for movies that hands over the uploaded file, whatever it holds."""
    box = gr.Video(sources=["upload"], buttons=[], height=256, label="Movie", elem_id="clip")
    box.preprocess = uploaded_path
    return box


def files_box() -> gr.File:
    """A box for several images that hands over the uploaded files, whatever they hold."""
    box = gr.File(file_count="multiple", height=256, label="Images")
    box.preprocess = uploaded_paths
    return box


def uploaded_paths(payload: Any) -> list[str]:
    """Of several files; see `uploaded_path`.

    Raises:
        gr.Error: for a path that leads elsewhere.
    """
    return [str(own(each.path)) for each in getattr(payload, "root", None) or ()]


def uploaded_path(payload: Any) -> str | None:
    """What a box hands over instead of opening the file: where it lies in the demo's own folder.

    Raises:
        gr.Error: for a path that leads elsewhere.
    """
    return None if payload is None else str(own(payload.path))
