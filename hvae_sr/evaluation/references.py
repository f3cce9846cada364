"""What models are scored against: HR images, and the training images of the linear-MMSE line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hvae_sr.errors import DataError
from hvae_sr.evaluation.metrics import SPACES
from hvae_sr.imaging.files import is_image, open_image
from hvae_sr.imaging.pixels import split
from hvae_sr.training import data

CIFAR10 = "CIFAR-10 test"
# What is called by its title instead of the name of its folder, or of its file without suffix.
TITLES = {
    "set5": "Set5",
    "set14": "Set14",
    "bsd100": "BSD100",
    "urban100": "Urban100",
    "cifar10-test": CIFAR10,
}


@dataclass(frozen=True)
class References:
    """HR images to score against, and by which convention.

    Args:
        batches: each (N, 3, H, W), or (N, 1, H, W) for grey images; uint8, or float in [0, 1].
        name: where they come from.
        space: `rgb` for thumbnails, `y` for photographs, see `hvae_sr.evaluation.metrics`.
    """

    batches: list[Tensor]
    name: str
    space: str = "rgb"

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise DataError(f"images are scored in {' or '.join(SPACES)}, not {self.space!r}")

    @property
    def count(self) -> int:
        return sum(len(batch) for batch in self.batches)

    def on(self, device: torch.device) -> Iterator[Tensor]:
        """Each batch as float in [0, 1] on a device, one in memory at a time."""
        for batch in self.batches:
            values = batch.to(device)
            yield values.float().div(255) if values.dtype == torch.uint8 else values


def load_references(
    source: str,
    scale: int,
    *,
    space: str | None = None,
    limit: int | None = None,
    batch: int = 100,
    root: str | Path = "data",
) -> References:
    """Open images to score against.

    Args:
        source: `cifar10` (the test split, by torchvision), a .npy file of uint8 (N, H, W, 3), or
            a folder of images, each cropped to a multiple of the scale. Files and folders are
            looked for where the name says, then in `root`.
        scale: what sizes must be a multiple of.
        space: `rgb` or `y`; left out, folders are photographs (`y`), the others thumbnails.
        limit: only the first so many.
        batch: images of equal size per batch.
        root: where torchvision keeps CIFAR-10, and folders of images may lie.

    Raises:
        DataError: when the source cannot be used.
        ImageError: when an image cannot be read.
    """
    if source == "cifar10":
        pixels = cropped(data.cifar10(root, train=False)[:limit], scale)
        return References(list(pixels.split(batch)), CIFAR10, space or "rgb")
    path = next((p for p in (Path(source), Path(root) / source) if p.exists()), Path(source))
    if path.suffix == ".npy":
        pixels = cropped(data.load_array(path)[:limit], scale)
        name = TITLES.get(path.stem, path.name)
        return References(list(pixels.split(batch)), name, space or "rgb")
    if not path.is_dir():
        raise DataError(
            f"{source!r} does not exist, neither here nor in {root}: give cifar10, a .npy file or "
            "a folder of images"
        )
    files = sorted(file for file in path.rglob("*") if is_image(file))[:limit]
    if not files:
        raise DataError(f"{path} holds no image")
    name = path.resolve().name
    return References(
        [cropped(_read(file), scale).unsqueeze(0) for file in files],
        TITLES.get(name, name),
        space or "y",
    )


def _read(file: Path) -> Tensor:
    """An image file as uint8 (3, H, W), or (1, H, W) when it is stored as greyscale."""
    rgb, rest = split(open_image(file))
    pixels = rgb[0].mul(255).round().byte()
    return pixels[:1] if rest.grey else pixels


def cropped(pixels: Tensor, scale: int) -> Tensor:
    """Images (..., H, W) without the last rows and columns that make no multiple of the scale.

    Raises:
        DataError: when nothing would be left.
    """
    height, width = pixels.shape[-2:]
    if height < scale or width < scale:
        raise DataError(f"a {width}x{height} image is too small to be shrunk by {scale}")
    return pixels[..., : height - height % scale, : width - width % scale]


def load_training(source: str | None, root: Path) -> Tensor | None:
    """Training images for `evaluate`: uint8 (N, 3, H, W), or None when no source is named.

    Args:
        source: `cifar10` (the training split, by torchvision) or a .npy file.
        root: where torchvision keeps CIFAR-10.

    Raises:
        DataError: when the source cannot be used.
    """
    if source is None:
        return None
    return data.cifar10(root, train=True) if source == "cifar10" else data.load_array(Path(source))
