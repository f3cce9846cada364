"""Pictures for the README and the cards: photographs through models, and pictures from nothing."""

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from hvae_sr.errors import ModelError
from hvae_sr.evaluation.baselines import bicubic
from hvae_sr.hub import load
from hvae_sr.imaging.pixels import to_image, to_tensor
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.resize import enlarge

PANEL, GAP, LINE = 224, 8, 26
CORNERS = {"astronaut": (126, 8), "chelsea": (104, 24), "coffee": (180, 60)}  # left, top
SAMPLES = 8
FACE = (194, 86, 254, 146)  # of astronaut, for cards; the side is a multiple of 2, 3 and 4
TINY = 32  # the side of thumbnails
ZOOM = {"y": 2, "rgb": 3}  # of a card's pictures, pixel by pixel


def thumbnails(cnn: str = "study-cnn-cifar10-x4", hvae: str = "hvae-cifar10-x4") -> Image.Image:
    """A crop of scikit-image's astronaut, shrunk by 4 and restored, above samples of the prior.

    Args:
        cnn, hvae: names, folders or repositories of models.

    Raises:
        ModelError: when `hvae` gives one answer only, or the models' scales differ.
    """
    from skimage.data import astronaut

    hr = to_tensor(Image.fromarray(astronaut()).crop((144, 12, 304, 172)))
    regression, model = _pair(cnn, hvae)
    assert model.degradation is not None
    lr = model.degradation(hr)
    samples = model.upscale(lr, num_samples=16, temperature=0.8, seed=0)[0]
    panels = {
        "input": enlarge(lr, model.scale, "nearest")[0],
        "bicubic": enlarge(lr, model.scale)[0],
        "CNN": regression.upscale(lr)[0],
        "HVAE, T = 0": model.upscale(lr, consistent=True)[0],
        "HVAE, T = 0.8": samples[0],
        "deviation of 16": deviation_map(samples),
        "original": hr[0],
    }
    tiles = [_labelled(to_image(panel), label) for label, panel in panels.items()]
    top = _side_by_side(tiles)
    drawn = model.sample(34, temperature=0.9, seed=1)
    grid = rearrange(drawn, "(rows n) c h w -> c (rows h) (n w)", rows=2)
    prior = to_image(grid)
    prior = prior.resize(
        (top.width, round(prior.height * top.width / prior.width)), Image.Resampling.NEAREST
    )
    sheet = Image.new("RGB", (top.width, top.height + LINE + prior.height), "white")
    sheet.paste(top, (0, 0))
    write(sheet, "pictures from nothing: y from p(y), then x from p(x | y), T = 0.9", top.height)
    sheet.paste(prior, (0, top.height + LINE))
    return sheet


def photographs(cnn: str = "photo-cnn-x4", hvae: str = "photo-hvae-x4") -> Image.Image:
    """Crops of scikit-image's photographs, shrunk and restored: one line each.

    Args:
        cnn, hvae: names, folders or repositories of models.

    Raises:
        ModelError: when `hvae` gives one answer only, or the models' scales differ.
    """
    regression, model = _pair(cnn, hvae)
    rows = [_row(_photograph(name, model.scale), regression, model) for name in CORNERS]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for index, row in enumerate(rows):
        sheet.paste(row, (0, index * row.height))
    return sheet


KINDS: dict[str, Callable[..., Image.Image]] = {
    "thumbnails": thumbnails,
    "photographs": photographs,
}


def draw(kind: str, **models: Any) -> Image.Image:
    """A showcase by the name of its kind; `models` as the function of that name takes them.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"a showcase is of {' or '.join(KINDS)}, not {kind!r}")
    return KINDS[kind](**models)


def labels(*, generative: bool) -> list[str]:
    """What the columns of `samples` show, from left to right."""
    answers = ["T = 0", "T = 0.8", "T = 0.8 again"] if generative else ["model"]
    return ["input", "bicubic", *answers, "original"]


@torch.inference_mode()
def samples(model: SuperResolutionModel, space: str) -> Image.Image:
    """A grid for a model's card: photographs shrunk by its degradation and restored, one a line.

    Args:
        model: any model with an LR input.
        space: `y` shows crops of photographs, `rgb` whole ones shrunk to thumbnails first.
    """
    assert model.degradation is not None
    generative = isinstance(model, GenerativeModel)
    names = labels(generative=generative)
    cells = []
    for hr in [_face()] if space == "y" else [_tiny(name, model.scale) for name in CORNERS]:
        lr = model.degradation(hr)
        answers = [model.upscale(lr)]
        if generative:
            answers += model.upscale(lr, num_samples=2, temperature=0.8, seed=0).unbind(dim=1)
        simple = [enlarge(lr, model.scale, "nearest"), bicubic(lr, model.scale)]
        cells += [*simple, *answers, hr]
    grid = to_image(make_grid(torch.cat(cells), nrow=len(names), padding=1, pad_value=1.0))
    wide, high = (side * ZOOM[space] for side in grid.size)
    sheet = Image.new("RGB", (wide, high + LINE), "white")
    sheet.paste(grid.resize((wide, high), Image.Resampling.NEAREST), (0, LINE))
    for index, label in enumerate(names):
        write(sheet, label, 0, left=index * wide // len(names), size=12)
    return sheet


def _face() -> Tensor:
    from skimage.data import astronaut

    return to_tensor(Image.fromarray(astronaut()).crop(FACE))


def _tiny(name: str, scale: int) -> Tensor:
    """A photograph's square around its motif, shrunk to a thumbnail."""
    from skimage import data

    left, top = CORNERS[name]
    image = Image.fromarray(getattr(data, name)())
    box = (left, top, left + PANEL, top + PANEL)
    side = TINY // scale * scale
    return to_tensor(image.resize((side, side), Image.Resampling.BOX, box=box))


def _photograph(name: str, scale: int) -> Tensor:
    from skimage import data

    left, top = CORNERS[name]
    side = PANEL // scale * scale
    image = Image.fromarray(getattr(data, name)())
    return to_tensor(image.crop((left, top, left + side, top + side)))


@torch.inference_mode()
def _row(hr: Tensor, regression: SuperResolutionModel, model: GenerativeModel) -> Image.Image:
    assert model.degradation is not None
    lr = model.degradation(hr)
    samples = model.upscale(lr, num_samples=SAMPLES, temperature=0.8, seed=0)[0]
    panels = {
        f"input, shrunk by {model.scale}": enlarge(lr, model.scale, "nearest")[0],
        "bicubic": bicubic(lr, model.scale)[0],
        "CNN": regression.upscale(lr)[0],
        "HVAE, T = 0": model.upscale(lr)[0],
        "HVAE, T = 0.8": samples[0],
        "HVAE, T = 0.8, again": samples[1],
        f"deviation of {SAMPLES}": deviation_map(samples),
        "original": hr[0],
    }
    return _side_by_side([_labelled(to_image(panel), label) for label, panel in panels.items()])


def _pair(cnn: str, hvae: str) -> tuple[SuperResolutionModel, GenerativeModel]:
    regression, model = load(cnn), load(hvae)
    if not isinstance(model, GenerativeModel):
        raise ModelError(f"{hvae} gives one answer only: name a VAE to show several")
    if regression.scale != model.scale:
        raise ModelError(
            f"{cnn} enlarges {regression.scale} times and {hvae} {model.scale} times: name two of "
            "the same scale"
        )
    return regression, model


def deviation_map(samples: Tensor, full: float = 0.15) -> Tensor:
    """Per-pixel standard deviation of samples (S, 3, H, W), black 0 to white `full`: (3, H, W)."""
    spread = samples.std(dim=0).mean(dim=0, keepdim=True)
    return torch.clamp(spread / full, 0, 1).expand(3, -1, -1)


def _labelled(image: Image.Image, label: str) -> Image.Image:
    tile = Image.new("RGB", (PANEL, PANEL + LINE), "white")
    tile.paste(image.resize((PANEL, PANEL), Image.Resampling.NEAREST), (0, LINE))
    write(tile, label, 0)
    return tile


def write(image: Image.Image, text: str, top: int, *, left: int = 0, size: int = 16) -> None:
    """Draw a line of text onto a picture, at its left unless said otherwise."""
    font = ImageFont.load_default(size=size)
    ImageDraw.Draw(image).text((left + 2, top + 3), text, fill="black", font=font)


def _side_by_side(tiles: list[Image.Image]) -> Image.Image:
    width = len(tiles) * (PANEL + GAP) - GAP
    row = Image.new("RGB", (width, tiles[0].height + GAP), "white")
    for index, tile in enumerate(tiles):
        row.paste(tile, (index * (PANEL + GAP), 0))
    return row
