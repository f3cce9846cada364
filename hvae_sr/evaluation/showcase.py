"""The README's picture: one photograph through the bundled models, and pictures from nothing."""

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hvae_sr.degradation import enlarge
from hvae_sr.generative import GenerativeModel
from hvae_sr.hub import load
from hvae_sr.pictures import to_image, to_tensor

PANEL, GAP, LINE = 224, 8, 26


def showcase(cnn: str = "srcnn-cifar10-x4", hvae: str = "hvae-cifar10-x4") -> Image.Image:
    """A crop of scikit-image's astronaut, shrunk by 4 and restored, above samples of the prior."""
    from skimage.data import astronaut

    hr = to_tensor(Image.fromarray(astronaut()).crop((144, 12, 304, 172)))
    regression, model = load(cnn), load(hvae)
    assert isinstance(model, GenerativeModel) and model.degradation is not None
    lr = model.degradation(hr)
    samples = model.upscale(lr, num_samples=16, temperature=0.8, seed=0)[0]
    panels = {
        "input": enlarge(lr, 4, "nearest")[0],
        "bicubic": enlarge(lr, 4)[0],
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
    _write(sheet, "pictures from nothing: y from p(y), then x from p(x | y), T = 0.9", top.height)
    sheet.paste(prior, (0, top.height + LINE))
    return sheet


def deviation_map(samples: Tensor, full: float = 0.15) -> Tensor:
    """Per-pixel standard deviation of samples (S, 3, H, W), black 0 to white `full`: (3, H, W)."""
    spread = samples.std(dim=0).mean(dim=0, keepdim=True)
    return torch.clamp(spread / full, 0, 1).expand(3, -1, -1)


def _labelled(image: Image.Image, label: str) -> Image.Image:
    tile = Image.new("RGB", (PANEL, PANEL + LINE), "white")
    tile.paste(image.resize((PANEL, PANEL), Image.Resampling.NEAREST), (0, LINE))
    _write(tile, label, 0)
    return tile


def _write(image: Image.Image, text: str, top: int) -> None:
    font = ImageFont.load_default(size=16)
    ImageDraw.Draw(image).text((2, top + 3), text, fill="black", font=font)


def _side_by_side(tiles: list[Image.Image]) -> Image.Image:
    width = len(tiles) * (PANEL + GAP) - GAP
    row = Image.new("RGB", (width, tiles[0].height + GAP), "white")
    for index, tile in enumerate(tiles):
        row.paste(tile, (index * (PANEL + GAP), 0))
    return row
