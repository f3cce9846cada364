"""The figure of a model's card: photographs shrunk by its degradation and restored."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from hvae_sr.imaging.pixels import to_image, to_tensor
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.resize import enlarge

CROP, LINE = 224, 26  # pixels: the side of a crop, the height of a line of text
CORNERS = {"astronaut": (126, 8), "chelsea": (104, 24), "coffee": (180, 60)}  # left, top
FACE = (194, 86, 254, 146)  # of astronaut; the side is a multiple of 2, 3 and 4
THUMBNAIL = 32  # pixels of a side
ZOOM = {"y": 2, "rgb": 3}  # pixel by pixel


def labels(*, generative: bool) -> list[str]:
    """What the columns of `samples` show, from left to right."""
    answers = ["T = 0", "T = 0.8", "T = 0.8 again"] if generative else ["model"]
    return ["input", "bicubic", *answers, "original"]


@torch.inference_mode()
def samples(model: SuperResolutionModel, space: str) -> Image.Image:
    """A labelled grid, one photograph a line, for a card.

    Args:
        model: any model with an LR input.
        space: `y` shows a crop of a photograph, `rgb` whole ones shrunk to thumbnails first.
    """
    assert model.degradation is not None
    names = labels(generative=model.is_stochastic)
    cells = []
    for hr in [_face()] if space == "y" else [_thumbnail(name, model.scale) for name in CORNERS]:
        lr = model.degradation(hr, torch.Generator().manual_seed(0))
        answers = [model.upscale(lr)]
        if model.is_stochastic:
            answers += model.upscale(lr, num_samples=2, temperature=0.8, seed=0).unbind(dim=1)
        simple = [enlarge(lr, model.scale, "nearest"), enlarge(lr, model.scale)]
        cells += [*simple, *answers, hr]
    grid = to_image(make_grid(torch.cat(cells), nrow=len(names), padding=1, pad_value=1.0))
    size = (grid.width * ZOOM[space], grid.height * ZOOM[space])
    return _labelled(grid.resize(size, Image.Resampling.NEAREST), names)


def _labelled(grid: Image.Image, names: Sequence[str]) -> Image.Image:
    """Columns of equal width below their names."""
    sheet = Image.new("RGB", (grid.width, grid.height + LINE), "white")
    sheet.paste(grid, (0, LINE))
    for index, name in enumerate(names):
        write(sheet, name, 0, left=index * grid.width // len(names), size=12)
    return sheet


def write(image: Image.Image, text: str, top: int, *, left: int = 0, size: int = 16) -> None:
    """Draw a line of text onto an image, at its left unless said otherwise."""
    font = ImageFont.load_default(size=size)
    ImageDraw.Draw(image).text((left + 2, top + 3), text, fill="black", font=font)


def photograph(name: str) -> Image.Image:
    """One of scikit-image's photographs."""
    from skimage import data

    return Image.fromarray(getattr(data, name)())


def _face() -> Tensor:
    return to_tensor(photograph("astronaut").crop(FACE))


def _thumbnail(name: str, scale: int) -> Tensor:
    """A photograph's square around its motif, shrunk."""
    left, top = CORNERS[name]
    side = THUMBNAIL // scale * scale
    box = (left, top, left + CROP, top + CROP)
    return to_tensor(photograph(name).resize((side, side), Image.Resampling.BOX, box=box))
