"""Where training sets come from: CIFAR-10, folders of image files, NumPy arrays, or nowhere."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hvae_sr.errors import DataError
from hvae_sr.imaging.files import is_image, open_image
from hvae_sr.imaging.pixels import to_tensor
from hvae_sr.training.data.batches import ImageSet
from hvae_sr.training.data.sets import Crops, DeadLeaves, Stack

SOURCES = "cifar10, procedural, a folder of images, or a .npy file"


def load_images(
    source: str,
    *,
    crop: int = 32,
    root: str | Path = "data",
    lr: str | None = None,
    targets: str | None = None,
) -> ImageSet:
    """Open a training set by name.

    Args:
        source: `cifar10` (torchvision, downloads to `root`), `procedural`, a folder of images,
            or a .npy file of uint8 (N, H, W, 3).
        crop: side of random crops from folders, and of procedural images.
        root: where torchvision keeps CIFAR-10.
        lr: LR versions of the same images, for pairs that no formula makes: a folder with files
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
        raise DataError("LR versions and targets go with a folder of images or a .npy file")
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


def image_files(folder: Path) -> dict[str, Path]:
    """Every image of a folder and its sub-folders, by its path without suffix, sorted.

    Raises:
        DataError: when the folder holds no image.
    """
    files = sorted(file for file in folder.rglob("*") if is_image(file))
    if not files:
        raise DataError(f"{folder} holds no image")
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def read_files(files: Iterable[Path]) -> list[Tensor]:
    """Image files as uint8 (3, H, W) each, decoded by several threads.

    Raises:
        ImageError: when one cannot be read.
    """

    def read(file: Path) -> Tensor:
        return to_tensor(open_image(file))[0].mul(255).round().byte()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, files))


def read_folder(folder: Path) -> list[Tensor]:
    """Every image of a folder as uint8 (3, H, W), sorted by path.

    Raises:
        DataError: when the folder holds no image.
        ImageError: when one cannot be read.
    """
    return read_files(image_files(folder).values())


def _stack(path: Path, lr: str | None, targets: str | None) -> Stack:
    hr = load_array(path)
    small, answers = (load_array(Path(p)) if p is not None else None for p in (lr, targets))
    for part in (small, answers):
        if part is not None and len(part) != len(hr):
            raise DataError(f"{path.name} holds {len(hr)} images, its companion {len(part)}")
    _check_parts(path.name, hr, small, answers)
    return Stack(hr, path.name, small, answers)


def _folder(folder: Path, crop: int, lr: str | None, targets: str | None) -> ImageSet:
    files = image_files(folder)
    images = read_files(files.values())
    small, answers = (_companions(p, files) if p is not None else None for p in (lr, targets))
    none = [None] * len(files)
    for name, *parts in zip(files, images, small or none, answers or none, strict=True):
        _check_parts(name, *parts)  # type: ignore[arg-type]
    if all(image.shape[-2:] == (crop, crop) for image in images):
        stacks = [None if part is None else torch.stack(part) for part in (small, answers)]
        return Stack(torch.stack(images), folder.name, *stacks)
    return Crops(images, crop, folder.name, small, answers)


def _companions(folder: str, files: Iterable[str]) -> list[Tensor]:
    """The images of another folder that have the same names."""
    path = Path(folder)
    if not path.is_dir():
        raise DataError(f"{folder!r} is not a folder: give one with files of the same names")
    found = image_files(path)
    missing = [name for name in files if name not in found]
    if missing:
        raise DataError(f"{folder} lacks {missing[0]} and {len(missing) - 1} others")
    return read_files(found[name] for name in files)


def _check_parts(name: str, hr: Tensor, lr: Tensor | None, target: Tensor | None) -> None:
    size = tuple(hr.shape[-2:])
    if target is not None and tuple(target.shape[-2:]) != size:
        raise DataError(f"{name}: the target is not as large as the image")
    if lr is not None:
        scale = size[0] // lr.shape[-2]
        if tuple(side * scale for side in lr.shape[-2:]) != size:
            raise DataError(f"{name}: the image is no whole number of times as large as its LR")
