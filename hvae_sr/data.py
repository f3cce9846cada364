"""Pictures for training and evaluation: uint8 in memory, batches as a pure function of the step.

Because batch number `step` depends on nothing but (seed, step), a resumed run sees exactly the
pictures it would have seen, and no worker process or data loader state is needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hvae_sr.errors import DataError
from hvae_sr.inference.files import is_picture, open_picture
from hvae_sr.pictures import to_tensor

SOURCES = "cifar10, procedural, a folder of pictures, or a .npy file"


def generator(*key: int) -> torch.Generator:
    """A generator named by integers, so that every draw of a run has its own address."""
    seed = np.random.SeedSequence([abs(k) for k in key]).generate_state(2, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))


class Pictures(ABC):
    """A source of square RGB training pictures."""

    name: str

    @abstractmethod
    def batch(self, seed: int, step: int, size: int) -> Tensor:
        """Batch number `step`: uint8 (size, 3, H, W), the same for the same arguments."""

    @abstractmethod
    def describe(self) -> str:
        """What was trained on, in words for a model card."""


class Stack(Pictures):
    """Pictures of one size in one uint8 tensor (N, 3, H, W); every epoch is a new permutation."""

    def __init__(self, pixels: Tensor, name: str):
        self.pixels = pixels
        self.name = name
        self._epoch = (-1, -1)
        self._order = torch.empty(0, dtype=torch.long)

    def to(self, device: torch.device) -> "Stack":
        return Stack(self.pixels.to(device), self.name)

    def __len__(self) -> int:
        return len(self.pixels)

    def describe(self) -> str:
        n, _, height, width = self.pixels.shape
        return f"{n:,} pictures of {width}x{height} from {self.name}"

    def batch(self, seed: int, step: int, size: int) -> Tensor:
        places = torch.arange(step * size, (step + 1) * size)
        epochs = places // len(self)
        rows = torch.empty_like(places)
        for epoch in epochs.unique().tolist():
            here = epochs == epoch
            rows[here] = self._permutation(seed, epoch)[places[here] % len(self)]
        return self.pixels[rows.to(self.pixels.device)]

    def _permutation(self, seed: int, epoch: int) -> Tensor:
        if self._epoch != (seed, epoch):
            self._order = torch.randperm(len(self), generator=generator(seed, 1, epoch))
            self._epoch = (seed, epoch)
        return self._order


class Crops(Pictures):
    """Random crops of pictures of any size, all of them decoded once and kept as uint8.

    Every place a crop can lie is equally likely, so large pictures are seen more often.

    Args:
        pictures: uint8 (3, H, W) each; those smaller than a crop are left out.
        crop: side of the crops.
        name: where the pictures come from.

    Raises:
        DataError: when every picture is smaller than a crop.
    """

    def __init__(self, pictures: Sequence[Tensor], crop: int, name: str):
        self.pictures = [p for p in pictures if min(p.shape[-2:]) >= crop]
        self.smaller = len(pictures) - len(self.pictures)
        if not self.pictures:
            raise DataError(f"every picture of {name} is smaller than a crop of {crop} pixels")
        self.crop = crop
        self.name = name
        places = [(p.shape[1] - crop + 1) * (p.shape[2] - crop + 1) for p in self.pictures]
        self._places = torch.tensor(places, dtype=torch.double).cumsum(0)

    def __len__(self) -> int:
        return len(self.pictures)

    def describe(self) -> str:
        left_out = f" ({self.smaller:,} smaller ones left out)" if self.smaller else ""
        return f"{self.crop}x{self.crop} crops of {len(self):,} pictures from {self.name}{left_out}"

    def batch(self, seed: int, step: int, size: int) -> Tensor:
        random = generator(seed, 2, step)
        which = torch.rand(size, generator=random, dtype=torch.double) * self._places[-1]
        rows = torch.searchsorted(self._places, which, right=True).tolist()
        draws = torch.rand(size, 2, generator=random).tolist()
        return torch.stack([self._crop(row, *draw) for row, draw in zip(rows, draws, strict=True)])

    def _crop(self, row: int, down: float, right: float) -> Tensor:
        picture = self.pictures[row]
        _, height, width = picture.shape
        top = int(down * (height - self.crop + 1))
        left = int(right * (width - self.crop + 1))
        return picture[:, top : top + self.crop, left : left + self.crop]


class DeadLeaves(Pictures):
    """Procedural pictures: overlapping discs with random sizes and shades, softly lit.

    The dead-leaves model of Lee, Mumford and Huang 2001: its statistics (edges, occlusion,
    scale invariance) are those of photographs, and it needs no file.

    Args:
        side: pixels along each side.
        leaves: discs per picture.
    """

    name = "procedural dead leaves"

    def __init__(self, side: int = 32, leaves: int = 48):
        self.side = side
        self.leaves = leaves

    def describe(self) -> str:
        return f"{self.side}x{self.side} dead-leaves pictures made on the fly"

    def batch(self, seed: int, step: int, size: int) -> Tensor:
        random = generator(seed, 3, step)
        axis = (torch.arange(self.side) + 0.5) / self.side
        picture = torch.rand(size, 3, 1, 1, generator=random).expand(-1, -1, self.side, self.side)
        draws = torch.rand(self.leaves, size, 8, generator=random)
        for leaf in draws:
            x, y, radius, tilt, *_ = leaf.unbind(dim=1)
            radius = 0.04 / (1 - 0.93 * radius)  # a power law between 0.04 and 0.57 of the side
            dx = axis[None, None, :] - (1.4 * x - 0.2)[:, None, None]
            dy = axis[None, :, None] - (1.4 * y - 0.2)[:, None, None]
            distance = (dx**2 + dy**2).sqrt() - radius[:, None, None]
            cover = (0.5 - distance * self.side).clamp(0, 1).unsqueeze(1)
            light = 1 + (tilt[:, None, None] - 0.5) * (dx + dy) / radius[:, None, None] * 0.5
            shade = leaf[:, 4:7, None, None] * light.unsqueeze(1)
            picture = picture * (1 - cover) + shade * cover
        return picture.clamp(0, 1).mul(255).round().byte()


def load_pictures(source: str, *, crop: int = 32, root: str | Path = "data") -> Pictures:
    """Open a training set by name.

    Args:
        source: `cifar10` (torchvision, downloads to `root`), `procedural`, a folder of pictures,
            or a .npy file of uint8 (N, H, W, 3).
        crop: side of random crops from folders, and of procedural pictures.
        root: where torchvision keeps CIFAR-10.

    Raises:
        DataError: saying what is wrong with the source.
    """
    if crop < 1:
        raise DataError(f"crops must have at least one pixel, not {crop}")
    if source == "procedural":
        return DeadLeaves(crop)
    if source == "cifar10":
        return Stack(cifar10(root, train=True), "the CIFAR-10 training set")
    path = Path(source)
    if path.suffix == ".npy":
        return Stack(load_array(path), path.name)
    if path.is_dir():
        return _folder(path, crop)
    raise DataError(f"{source!r} is not there: give {SOURCES}")


def cifar10(root: str | Path, *, train: bool) -> Tensor:
    """CIFAR-10 by torchvision, as uint8 (N, 3, 32, 32); downloaded when missing.

    Raises:
        DataError: when it can be neither found nor downloaded.
    """
    from torchvision.datasets import CIFAR10

    try:
        pixels = CIFAR10(str(root), train=train, download=True).data
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"CIFAR-10 is not in {root} and could not be downloaded ({error}): "
            "check the network, or give a .npy file"
        ) from error
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def load_array(path: Path) -> Tensor:
    """A .npy file of uint8 (N, H, W, 3) -> uint8 (N, 3, H, W).

    Raises:
        DataError: when the file is missing or holds something else.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a NumPy array: {error}") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape:
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}: expected uint8 (N, H, W, 3)"
        )
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def read_folder(folder: Path) -> list[Tensor]:
    """Every picture of a folder as uint8 (3, H, W), sorted by path.

    Raises:
        DataError: when the folder holds no picture.
        PictureError: when one cannot be read.
    """
    files = sorted(file for file in folder.rglob("*") if is_picture(file))
    if not files:
        raise DataError(f"{folder} holds no picture")
    return [to_tensor(open_picture(file))[0].mul(255).round().byte() for file in files]


def _folder(folder: Path, crop: int) -> Pictures:
    pictures = read_folder(folder)
    if all(picture.shape[-2:] == (crop, crop) for picture in pictures):
        return Stack(torch.stack(pictures), folder.name)
    return Crops(pictures, crop, folder.name)


def split(pictures: Pictures, validation: int) -> tuple[Pictures, Tensor]:
    """Hold `validation` pictures out: training pictures, uint8 validation tensor.

    Of a stack the last ones are held out. Of pictures to be cropped those at even distances,
    since folders are sorted; one crop of each is returned. Procedural pictures are unlimited:
    their validation set is a batch of another seed.

    Raises:
        DataError: when nothing would be left to train on.
    """
    if validation < 1:
        raise DataError(f"at least one picture must be held out for validation, not {validation}")
    if isinstance(pictures, DeadLeaves):
        return pictures, pictures.batch(2**31, 0, validation)
    if not isinstance(pictures, Stack | Crops) or len(pictures) <= validation:
        raise DataError(f"{pictures.name} is too small to hold {validation} pictures out")
    if isinstance(pictures, Stack):
        kept = Stack(pictures.pixels[:-validation], pictures.name)
        return kept, pictures.pixels[-validation:]
    out = {index * len(pictures) // validation for index in range(validation)}
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for index, picture in enumerate(pictures.pictures):
        parts[index in out].append(picture)
    kept_crops, held = (Crops(part, pictures.crop, pictures.name) for part in parts)
    kept_crops.smaller = pictures.smaller
    return kept_crops, torch.cat([Crops([p], held.crop, "").batch(2**31, 0, 1) for p in parts[1]])


SYMMETRIES = ("mirror", "dihedral")


def augment(batch: Tensor, seed: int, step: int, symmetry: str = "mirror") -> Tensor:
    """Turn pictures (N, 3, H, W) at random, the same way for the same (seed, step).

    Args:
        symmetry: `mirror` (half of them left to right) or `dihedral` (square pictures: all eight
            flips and quarter turns, as photographs of textures allow).

    Raises:
        ValueError: for an unknown symmetry.
    """
    if symmetry not in SYMMETRIES:
        raise ValueError(f"symmetry must be one of {SYMMETRIES}, not {symmetry!r}")
    random = generator(seed, 4, step)
    batch = _half(batch, batch.flip(-1), random)
    if symmetry == "mirror":
        return batch
    batch = _half(batch, batch.flip(-2), random)
    return _half(batch, batch.transpose(-1, -2), random)


def _half(batch: Tensor, other: Tensor, random: torch.Generator) -> Tensor:
    """Each picture from `batch` or from `other`, with equal chances."""
    chosen = torch.rand(len(batch), generator=random) < 0.5
    return torch.where(chosen.to(batch.device)[:, None, None, None], other, batch)
