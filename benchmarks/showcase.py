"""Draw the README's figures with the bundled models, or with others.

python -m benchmarks showcase docs/showcase.png --of thumbnails
python -m benchmarks showcase docs/photographs.png --of photographs
"""

from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from benchmarks import parser
from hvae_sr.errors import ModelError
from hvae_sr.evaluation.figures import CORNERS, CROP, LINE, photograph, write
from hvae_sr.hub import load
from hvae_sr.imaging.files import save_image
from hvae_sr.imaging.pixels import to_image, to_tensor
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.resize import enlarge

GAP = 8  # pixels between panels, which are as large as crops
SAMPLES = 8
PORTRAIT = (144, 12, 304, 172)  # of astronaut


def thumbnails(cnn: str, hvae: str) -> Image.Image:
    """A crop of scikit-image's astronaut, shrunk by 4 and restored, above samples of the prior.

    Args:
        cnn, hvae: names, folders or repositories of models.

    Raises:
        ModelError: when `hvae` gives one answer only, or the models' scales differ.
    """
    hr = to_tensor(photograph("astronaut").crop(PORTRAIT))
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
    write(sheet, "unconditional samples: y from p(y), then x from p(x | y), T = 0.9", top.height)
    sheet.paste(prior, (0, top.height + LINE))
    return sheet


def photographs(cnn: str, hvae: str) -> Image.Image:
    """Crops of scikit-image's photographs, shrunk and restored: one line each.

    Args:
        cnn, hvae: names, folders or repositories of models.

    Raises:
        ModelError: when `hvae` gives one answer only, or the models' scales differ.
    """
    regression, model = _pair(cnn, hvae)
    rows = [_row(_cropped(name, model.scale), regression, model) for name in CORNERS]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for index, row in enumerate(rows):
        sheet.paste(row, (0, index * row.height))
    return sheet


def _cropped(name: str, scale: int) -> Tensor:
    left, top = CORNERS[name]
    side = CROP // scale * scale
    return to_tensor(photograph(name).crop((left, top, left + side, top + side)))


@torch.inference_mode()
def _row(hr: Tensor, regression: SuperResolutionModel, model: GenerativeModel) -> Image.Image:
    assert model.degradation is not None
    lr = model.degradation(hr)
    samples = model.upscale(lr, num_samples=SAMPLES, temperature=0.8, seed=0)[0]
    panels = {
        f"input, shrunk by {model.scale}": enlarge(lr, model.scale, "nearest")[0],
        "bicubic": enlarge(lr, model.scale)[0],
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
    tile = Image.new("RGB", (CROP, CROP + LINE), "white")
    tile.paste(image.resize((CROP, CROP), Image.Resampling.NEAREST), (0, LINE))
    write(tile, label, 0)
    return tile


def _side_by_side(tiles: list[Image.Image]) -> Image.Image:
    width = len(tiles) * (CROP + GAP) - GAP
    row = Image.new("RGB", (width, tiles[0].height + GAP), "white")
    for index, tile in enumerate(tiles):
        row.paste(tile, (index * (CROP + GAP), 0))
    return row


DRAWN: dict[str, Callable[[str, str], Image.Image]] = {
    "thumbnails": thumbnails,
    "photographs": photographs,
}
MODELS = {
    "thumbnails": ("study-cnn-cifar10-x4", "hvae-cifar10-x4"),
    "photographs": ("photo-cnn-x4", "photo-hvae-x4"),
}


def main(arguments: list[str]) -> None:
    made = parser("showcase", __doc__)
    made.add_argument("target", type=Path, metavar="OUTPUT", help="the image to write")
    made.add_argument("--of", choices=list(DRAWN), default="thumbnails", help="what to show")
    made.add_argument("--cnn", help="the deterministic model, the bundled one if left out")
    made.add_argument("--hvae", help="the generative model, the bundled one if left out")
    options = made.parse_args(arguments)
    cnn, hvae = MODELS[options.of]
    figure = DRAWN[options.of](options.cnn or cnn, options.hvae or hvae)
    save_image(figure, options.target)
