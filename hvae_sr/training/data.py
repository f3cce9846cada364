"""Pictures for training and evaluation: uint8 in memory, batches as a pure function of the step.

Because batch number `step` depends on nothing but (seed, step), a resumed run sees exactly the
pictures it would have seen, and no worker process or data loader state is needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from hvae_sr.errors import DataError
from hvae_sr.imaging.files import is_picture, open_picture
from hvae_sr.imaging.pixels import to_tensor

SOURCES = "cifar10, procedural, a folder of pictures, or a .npy file"


def generator(*key: int) -> torch.Generator:
    """A generator named by integers, so that every draw of a run has its own address."""
    seed = np.random.SeedSequence([abs(k) for k in key]).generate_state(2, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))


class Batch(NamedTuple):
    """Training pictures, all uint8.

    Args:
        hr: (N, 3, H, W).
        lr: (N, 3, H / scale, W / scale) where LR versions are given; otherwise the trainer makes
            them.
        target: a teacher's answers to `lr`, of the shape of `hr`, where there are any.
    """

    hr: Tensor
    lr: Tensor | None = None
    target: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same change to every part that is there."""
        return Batch(*[None if part is None else change(part) for part in self])  # type: ignore[arg-type]

    def split(self, size: int) -> Iterator["Batch"]:
        """Batches of at most `size`, in order."""
        for start in range(0, len(self.hr), size):
            yield self.map(lambda part, start=start: part[start : start + size])  # type: ignore[misc]


class Pictures(ABC):
    """A source of square RGB training pictures."""

    name: str

    @abstractmethod
    def batch(self, seed: int, step: int, size: int) -> Batch:
        """Batch number `step` of `size` pictures, the same for the same arguments."""

    @abstractmethod
    def describe(self) -> str:
        """What was trained on, in words for a model card."""

    def to(self, device: torch.device) -> Self:
        """The same pictures, kept on `device` when it has room for them."""
        return self


class Stack(Pictures):
    """Pictures of one size in one uint8 tensor (N, 3, H, W); every epoch is a new permutation.

    Args:
        pixels: uint8 (N, 3, H, W).
        name: where the pictures come from.
        lr, target: of the same pictures, see `Batch`.
    """

    def __init__(
        self, pixels: Tensor, name: str, lr: Tensor | None = None, target: Tensor | None = None
    ):
        self.parts = Batch(pixels, lr, target)
        self.name = name
        self._epoch = (-1, -1)
        self._order = torch.empty(0, dtype=torch.long)

    @property
    def pixels(self) -> Tensor:
        return self.parts.hr

    def to(self, device: torch.device) -> Self:
        kept = sum(part.numel() for part in self.parts if part is not None)
        if not _has_room(device, kept):
            return self
        hr, lr, target = self.parts.map(lambda part: part.to(device))
        return type(self)(hr, self.name, lr, target)

    def __len__(self) -> int:
        return len(self.pixels)

    def describe(self) -> str:
        n, _, height, width = self.pixels.shape
        return f"{n:,} pictures of {width}x{height} from {self.name}"

    def batch(self, seed: int, step: int, size: int) -> Batch:
        places = torch.arange(step * size, (step + 1) * size)
        epochs = places // len(self)
        rows = torch.empty_like(places)
        for epoch in epochs.unique().tolist():
            here = epochs == epoch
            rows[here] = self._permutation(seed, epoch)[places[here] % len(self)]
        rows = rows.to(self.pixels.device)
        return self.parts.map(lambda part: part[rows])

    def _permutation(self, seed: int, epoch: int) -> Tensor:
        if self._epoch != (seed, epoch):
            self._order = torch.randperm(len(self), generator=generator(seed, 1, epoch))
            self._epoch = (seed, epoch)
        return self._order


class Packed:
    """Pictures of any size, one after another in one uint8 tensor, cropped by a single gather.

    Args:
        pictures: uint8 (3, H, W) each.
    """

    def __init__(self, pictures: Sequence[Tensor]):
        self.pixels = torch.cat([picture.flatten(1).T for picture in pictures])
        self.sizes = torch.tensor([picture.shape[1:] for picture in pictures])
        areas = self.sizes.prod(dim=1)
        self.starts = areas.cumsum(0) - areas

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Tensor:
        """Picture number `index`, a view of uint8 (3, H, W)."""
        if index >= len(self):
            raise IndexError(index)  # which ends a loop over the pictures
        height, width = self.sizes[index].tolist()
        start = int(self.starts[index])
        pixels = self.pixels[start : start + height * width]
        return pixels.view(height, width, 3).permute(2, 0, 1)

    def crops(self, rows: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
        """Crops of pictures `rows` at (`top`, `left`), all (N,) -> uint8 (N, 3, side, side)."""
        width = self.sizes[rows, 1]
        corner = self.starts[rows] + top * width + left
        corner, width = (each.to(self.pixels.device)[:, None, None] for each in (corner, width))
        steps = torch.arange(side, device=self.pixels.device)
        return self.pixels[corner + steps[:, None] * width + steps].permute(0, 3, 1, 2)


class Crops(Pictures):
    """Random crops of pictures of any size, all of them decoded once and kept as uint8.

    Every place a crop can lie is equally likely, so large pictures are seen more often. Where LR
    versions are given, crops lie on the grid of LR pixels.

    Args:
        pictures: uint8 (3, H, W) each; those smaller than a crop are left out.
        crop: side of the crops.
        name: where the pictures come from.
        lr: LR versions, one for each picture.
        target: a teacher's answers, one for each picture.

    Raises:
        DataError: when every picture is smaller than a crop, or a crop is no whole number of LR
            pixels.
    """

    def __init__(
        self,
        pictures: Sequence[Tensor],
        crop: int,
        name: str,
        lr: Sequence[Tensor] | None = None,
        target: Sequence[Tensor] | None = None,
    ):
        large = [index for index, p in enumerate(pictures) if min(p.shape[-2:]) >= crop]
        self.smaller = len(pictures) - len(large)
        if not large:
            raise DataError(f"every picture of {name} is smaller than a crop of {crop} pixels")
        self.crop = crop
        self.name = name
        self.parts = [
            Packed([part[index] for index in large]) if part is not None else None
            for part in (pictures, lr, target)
        ]
        sizes = self.pictures.sizes
        self.step = int(sizes[0, 0] // self.parts[1].sizes[0, 0]) if self.parts[1] else 1
        if crop % self.step:
            raise DataError(f"crops of {crop} pixels are no multiple of the scale, {self.step}")
        self._free = sizes.div(self.step, rounding_mode="floor") - crop // self.step + 1
        self._places = self._free.prod(dim=1).double().cumsum(0)

    @property
    def pictures(self) -> Packed:
        hr = self.parts[0]
        assert hr is not None
        return hr

    def __len__(self) -> int:
        return len(self.pictures)

    def to(self, device: torch.device) -> Self:
        packed = [part for part in self.parts if part is not None]
        if _has_room(device, sum(part.pixels.numel() for part in packed)):
            for part in packed:
                part.pixels = part.pixels.to(device)
        return self

    def describe(self) -> str:
        left_out = f" ({self.smaller:,} smaller ones left out)" if self.smaller else ""
        return f"{self.crop}x{self.crop} crops of {len(self):,} pictures from {self.name}{left_out}"

    def batch(self, seed: int, step: int, size: int) -> Batch:
        random = generator(seed, 2, step)
        which = torch.rand(size, generator=random, dtype=torch.double) * self._places[-1]
        rows = torch.searchsorted(self._places, which, right=True)
        draws = torch.rand(size, 2, generator=random).double()
        top, left = (draws * self._free[rows]).long().unbind(dim=1)  # in LR pixels
        _, lr, target = self.parts
        small = (rows, top, left, self.crop // self.step)
        full = (rows, top * self.step, left * self.step, self.crop)
        return Batch(
            self.pictures.crops(*full),
            lr.crops(*small) if lr is not None else None,
            target.crops(*full) if target is not None else None,
        )

    def take(self, indices: Sequence[int]) -> "Crops":
        """Crops of some of the pictures alone."""
        hr, lr, target = (
            [part[index] for index in indices] if part is not None else None for part in self.parts
        )
        assert hr is not None
        return Crops(hr, self.crop, self.name, lr, target)


def _has_room(device: torch.device, size: int) -> bool:
    """Whether `size` bytes fit into half of what a GPU has free; other devices share memory."""
    return device.type != "cuda" or size < torch.cuda.mem_get_info(device)[0] // 2


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

    def batch(self, seed: int, step: int, size: int) -> Batch:
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
        return Batch(picture.clamp(0, 1).mul(255).round().byte())


def load_pictures(
    source: str,
    *,
    crop: int = 32,
    root: str | Path = "data",
    lr: str | None = None,
    targets: str | None = None,
) -> Pictures:
    """Open a training set by name.

    Args:
        source: `cifar10` (torchvision, downloads to `root`), `procedural`, a folder of pictures,
            or a .npy file of uint8 (N, H, W, 3).
        crop: side of random crops from folders, and of procedural pictures.
        root: where torchvision keeps CIFAR-10.
        lr: LR versions of the same pictures, for pairs that no formula makes: a folder with files
            of the same names, or a .npy file, as `source` is.
        targets: a teacher's answers to the LR versions, in the same way.

    Raises:
        DataError: saying what is wrong with the source.
    """
    if crop < 1:
        raise DataError(f"crops must have at least one pixel, not {crop}")
    path = Path(source)
    if path.suffix == ".npy":
        return _stack(path, lr, targets)
    if path.is_dir():
        return _folder(path, crop, lr, targets)
    if lr or targets:
        raise DataError("LR versions and targets go with a folder of pictures or a .npy file")
    if source == "procedural":
        return DeadLeaves(crop)
    if source == "cifar10":
        return Stack(cifar10(root, train=True), "the CIFAR-10 training set")
    raise DataError(f"{source!r} does not exist: give {SOURCES}")


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


def picture_files(folder: Path) -> dict[str, Path]:
    """Every picture of a folder and its sub-folders, by its path without suffix, sorted.

    Raises:
        DataError: when the folder holds no picture.
    """
    files = sorted(file for file in folder.rglob("*") if is_picture(file))
    if not files:
        raise DataError(f"{folder} holds no picture")
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def read_files(files: Iterable[Path]) -> list[Tensor]:
    """Picture files as uint8 (3, H, W) each, decoded by several threads.

    Raises:
        PictureError: when one cannot be read.
    """

    def read(file: Path) -> Tensor:
        return to_tensor(open_picture(file))[0].mul(255).round().byte()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, files))


def read_folder(folder: Path) -> list[Tensor]:
    """Every picture of a folder as uint8 (3, H, W), sorted by path.

    Raises:
        DataError: when the folder holds no picture.
        PictureError: when one cannot be read.
    """
    return read_files(picture_files(folder).values())


def _stack(path: Path, lr: str | None, targets: str | None) -> Stack:
    hr = load_array(path)
    small, answers = (load_array(Path(p)) if p is not None else None for p in (lr, targets))
    for part in (small, answers):
        if part is not None and len(part) != len(hr):
            raise DataError(f"{path.name} holds {len(hr)} pictures, its companion {len(part)}")
    _check_parts(path.name, hr, small, answers)
    return Stack(hr, path.name, small, answers)


def _folder(folder: Path, crop: int, lr: str | None, targets: str | None) -> Pictures:
    files = picture_files(folder)
    pictures = read_files(files.values())
    small, answers = (_companions(p, files) if p is not None else None for p in (lr, targets))
    none = [None] * len(files)
    for name, *parts in zip(files, pictures, small or none, answers or none, strict=True):
        _check_parts(name, *parts)  # type: ignore[arg-type]
    if all(picture.shape[-2:] == (crop, crop) for picture in pictures):
        stacks = [None if part is None else torch.stack(part) for part in (small, answers)]
        return Stack(torch.stack(pictures), folder.name, *stacks)
    return Crops(pictures, crop, folder.name, small, answers)


def _companions(folder: str, files: Iterable[str]) -> list[Tensor]:
    """The pictures of another folder that have the same names."""
    path = Path(folder)
    if not path.is_dir():
        raise DataError(f"{folder!r} is not a folder: give one with files of the same names")
    found = picture_files(path)
    missing = [name for name in files if name not in found]
    if missing:
        raise DataError(f"{folder} lacks {missing[0]} and {len(missing) - 1} others")
    return read_files(found[name] for name in files)


def _check_parts(name: str, hr: Tensor, lr: Tensor | None, target: Tensor | None) -> None:
    size = tuple(hr.shape[-2:])
    if target is not None and tuple(target.shape[-2:]) != size:
        raise DataError(f"{name}: the target is not as large as the picture")
    if lr is not None:
        scale = size[0] // lr.shape[-2]
        if tuple(side * scale for side in lr.shape[-2:]) != size:
            raise DataError(f"{name}: the picture is no whole number of times as large as its LR")


def split(pictures: Pictures, validation: int) -> tuple[Pictures, Batch]:
    """Hold `validation` pictures out: training pictures, and a batch for validation.

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
        hr, lr, target = pictures.parts.map(lambda part: part[:-validation])
        held = pictures.parts.map(lambda part: part[-validation:])
        return Stack(hr, pictures.name, lr, target), held
    out = {index * len(pictures) // validation for index in range(validation)}
    kept = pictures.take([index for index in range(len(pictures)) if index not in out])
    kept.smaller = pictures.smaller
    crops = [pictures.take([index]).batch(2**31, 0, 1) for index in sorted(out)]
    return kept, Batch(
        *[None if part[0] is None else torch.cat(part) for part in zip(*crops, strict=True)]  # type: ignore[arg-type]
    )


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
