"""What the tabs share: the models, the limits, and what happens to files and errors."""

import html
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import gradio as gr
from PIL import Image

from hvae_sr.demo import jobs
from hvae_sr.demo.cache import own_folder
from hvae_sr.demo.quota import check_room
from hvae_sr.demo.values import own
from hvae_sr.errors import HvaeSrError, ImageError, ModelError
from hvae_sr.evaluation import results
from hvae_sr.hub import bundled, load
from hvae_sr.imaging.budget import STRANGERS
from hvae_sr.imaging.files import open_image, save_image
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel

FIRST = "photo-hvae-x4"  # what menus start with where they have it
NOT_SHOWN = ("vae-study",)  # a documented failure: its place is the tables
LARGEST_WORK = 2**18  # LR pixels x samples of one answer: the process then needs some 4 GiB
LARGEST_SIDE = 4096  # LR pixels: four times this is as wide as browsers draw reliably
LARGEST_TEMPERATURE = 1.2
LARGEST_SEED = 2**31 - 1
RANDOM_SEED = f"() => Math.floor(Math.random() * {LARGEST_SEED})"

Models = Mapping[str, SuperResolutionModel]


def shelf() -> dict[str, SuperResolutionModel]:
    """Name -> model, for every bundled model that the demo shows.

    Raises:
        ModelError: when there is none, or one is damaged.
    """
    names = [name for name in bundled() if name not in NOT_SHOWN]
    if not names:
        raise ModelError("no model is bundled with this copy of hvae_sr: install the released one")
    return {name: load(name) for name in names}


def warm(models: Models) -> None:
    """Let every model answer once, as the first pass takes longest, then measure how fast it is."""
    tiny = Image.new("RGB", (16, 16))
    for model in models.values():
        if model.degradation is not None:
            model.upscale(tiny, consistent=True)
        if can_sample(model):
            model.sample(1, seed=0)
        jobs.measure(model)


def can_sample(model: SuperResolutionModel) -> TypeGuard[GenerativeModel]:
    """Whether a model can draw pictures from nothing."""
    return isinstance(model, GenerativeModel) and (
        not model.is_conditional or model.lr_prior is not None
    )


def described(models: Models) -> list[tuple[str, str]]:
    """(what a menu says, name) of each model: scale, and PSNR where it was measured."""
    folders = bundled()
    choices = []
    for name, model in models.items():
        parts = [name, f"x{model.scale}"]
        if name in folders and (scored := results.headline(folders[name])):
            parts.append(scored)
        choices.append((" · ".join(parts), name))
    return choices


def first(models: Models, wanted: str = FIRST) -> str:
    """The model that a menu starts with: `wanted` where it is there."""
    return wanted if wanted in models else next(iter(models))


def menu(models: Models, wanted: str = FIRST) -> gr.Dropdown:
    """A menu of models that says what each one is."""
    value = first(models, wanted)
    return gr.Dropdown(described(models), value=value, label="Model", filterable=False)


def temperature_slider(value: float, info: str) -> gr.Slider:
    return gr.Slider(0, LARGEST_TEMPERATURE, value=value, step=0.05, label="Temperature", info=info)


def seed_box(value: int = 0, label: str = "Seed") -> gr.Number:
    """A seed that is shown and can be used again, with a button that draws another one."""
    another = gr.Button("Random seed", size="sm", render=False)
    seed = gr.Number(
        value,
        label=label,
        info="The same seed gives the same picture.",
        precision=0,
        minimum=0,
        maximum=LARGEST_SEED,
        buttons=[another],
    )
    another.click(None, outputs=seed, js=RANDOM_SEED)
    return seed


def answers(
    button: gr.Button,
    action: Callable[..., Any],
    inputs: Sequence[gr.Component],
    outputs: Sequence[gr.Component],
    api_name: str,
) -> None:
    """Let a button ask a model; the download, last of the outputs, is asleep until there is one."""
    button.click(
        action,
        inputs,
        outputs,
        api_name=api_name,
        concurrency_id="model",
        show_progress_on=outputs[0],
        scroll_to_output=True,
    ).success(
        lambda: gr.update(interactive=True),
        None,
        outputs[-1],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def without_folders(message: str) -> str:
    """A message in which files of the cache go by their names alone."""
    return re.sub(re.escape(str(own_folder())) + r"(/[^/\s]+)*/", "", message)


@contextmanager
def readable() -> Iterator[None]:
    """Show what the package refuses as one sentence in the page, without a traceback."""
    try:
        yield
    except (HvaeSrError, ValueError) as error:
        # The page renders messages as HTML, and a file's name is the visitor's own text.
        message = html.escape(without_folders(str(error)), quote=False)
        raise gr.Error(message, title="Not possible", print_exception=False) from error


def picture_box() -> gr.Image:
    """A box for pictures that hands over the uploaded file, whatever it holds.

    gr.Image would open the file first: without limits, and with errors that tell server paths.
    """
    box = gr.Image(
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        buttons=[],
        label="Picture",
        height=256,
        placeholder="Drop a picture here\n- or -\nClick to choose one",
        alt_text="The picture to enlarge",
    )
    box.preprocess = uploaded_path
    return box


def uploaded_path(payload: Any) -> str | None:
    """What a box hands over instead of opening the file: where it lies in the demo's own folder.

    Raises:
        gr.Error: for a path that leads elsewhere.
    """
    return None if payload is None else str(own(payload.path))


def read_picture(path: str | None, answers: int, shrink: int = 1) -> Image.Image:
    """The uploaded picture, if `answers` to it are within the demo's limits.

    Args:
        path: where the upload lies.
        answers: how many enlarged pictures are asked for.
        shrink: by how much the picture's sides shrink before a model sees it.

    Raises:
        ImageError: for no picture, no longer a picture, a broken one or one too large.
    """
    if not path or not Path(path).is_file():
        raise ImageError("there is no picture: choose one first, or upload it again")
    image = open_image(path, largest=LARGEST_WORK * shrink**2, budget=STRANGERS)
    width, height = image.size
    if max(width, height) > LARGEST_SIDE * shrink:
        raise ImageError(
            f"the picture is {width}x{height}: the demo takes at most {LARGEST_SIDE * shrink} "
            "pixels along a side, so crop or shrink it"
        )
    allowed = LARGEST_WORK // answers * shrink**2
    if width * height > allowed:
        raise ImageError(
            f"{answers} answers to a {width}x{height} picture are too much for the demo: shrink "
            f"it to at most {allowed} pixels ({int(allowed**0.5)}x{int(allowed**0.5)}), or ask "
            "for fewer"
        )
    return image


def checked_seed(seed: int | None) -> int:
    """The seed, which an emptied box leaves out.

    Raises:
        ValueError: when there is none.
    """
    if seed is None:
        raise ValueError(f"there is no seed: type a whole number from 0 to {LARGEST_SEED}")
    return seed


def stored(
    images: Sequence[Image.Image],
    names: Sequence[str],
    owner: gr.Image,
    records: Sequence[dict[str, Any] | None] | None = None,
) -> list[str]:
    """Save pictures where gradio serves them from and, in time, deletes them: their paths.

    Args:
        images: what to save, with metadata and depth kept.
        names: what a download of each is called.
        owner: a component of the page, whose cache is used.
        records: how each was made, written into its file; see `save_image`.
    """
    folder = new_folder(owner)
    paths = []
    for image, name, record in zip(images, names, records or [None] * len(images), strict=True):
        jobs.check()
        save_image(image, folder / name, record=record)
        paths.append(str(folder / name))
    return paths


def new_folder(owner: gr.Component) -> Path:
    """An empty folder, its name not to be guessed, in the cache of a component of the page.

    Raises:
        HvaeSrError: when the demo's disk space is used up.
    """
    check_room()
    Path(owner.GRADIO_CACHE).mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=owner.GRADIO_CACHE))
