"""Make training pairs: crops of photographs and blindly degraded LR versions of them.

    python -m benchmarks pairs HR_FOLDER OUT_FOLDER --count 20000 --lr-side 64 --seed 0 --workers 16

writes hr.npy (N, 4 * side, 4 * side, 3) and lr.npy (N, side, side, 3), uint8, and pairs.json, which
says how. Every pair depends on the seed, its number, and the photographs, not on the workers. Large
photographs are used at scales from 0.5 to 1. Subfolders are searched.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import parser
from hvae_sr.degradations.blind import STRENGTHS, Blind, from_array, to_array

SCALE = 4
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff"}
LARGE = 1024  # pixels along the shorter side from which photographs are also used smaller
PER_TASK = 64  # pairs of one photograph that one decoding serves


@dataclass(frozen=True)
class Task:
    """One photograph and the numbers of the pairs that are cut from it."""

    photograph: Path
    pairs: tuple[int, ...]


def photographs(folder: Path, exclude: list[str], side: int) -> dict[Path, int]:
    """Image files at least `side` pixels a side, and how many pixels each has.

    Raises:
        ValueError: when there is none, or one cannot be read.
    """
    found, small = {}, 0
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        if any(fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in exclude):
            continue
        try:
            with Image.open(path) as image:
                width, height = image.size
        except OSError as error:
            raise ValueError(f"{path}: {error}; leave it out by --exclude") from error
        if min(width, height) < side:
            small += 1
        else:
            found[path] = width * height
    if small:
        print(f"pairs: {small} images smaller than {side} pixels are left out", file=sys.stderr)
    if not found:
        raise ValueError(f"{folder} holds no image of at least {side} pixels a side")
    return found


def plan(pixels: dict[Path, int], count: int, seed: int) -> list[Task]:
    """Who is cut from what: photographs drawn in proportion to their size; long tasks first."""
    paths = list(pixels)
    weights = np.array(list(pixels.values()), float)
    chosen = np.random.default_rng(seed).choice(len(paths), count, p=weights / weights.sum())
    tasks = []
    for k, path in enumerate(paths):
        numbers = np.flatnonzero(chosen == k).tolist()
        starts = range(0, len(numbers), PER_TASK)
        tasks += [Task(path, tuple(numbers[start : start + PER_TASK])) for start in starts]
    return sorted(tasks, key=lambda task: -len(task.pairs))


def crop(photograph: Image.Image, side: int, random: np.random.Generator) -> np.ndarray:
    """(side, side, 3) uint8 from a random place, of large photographs at a random scale."""
    zoom = random.uniform(0.5, 1) if min(photograph.size) >= LARGE else 1.0
    wide = round(side / zoom)
    left, top = (int(random.integers(0, length - wide + 1)) for length in photograph.size)
    box = (left, top, left + wide, top + wide)
    piece = photograph.crop(box).resize((side, side), Image.Resampling.LANCZOS)
    return np.array(piece)


def make(task: Task, folder: Path, corrupt: Blind, seed: int) -> int:
    """Fills the task's rows of hr.npy and lr.npy; the number of pairs made."""
    torch.set_num_threads(1)
    hr, lr = (np.load(folder / name, mmap_mode="r+") for name in ("hr.npy", "lr.npy"))
    with Image.open(task.photograph) as file:
        photograph = file.convert("RGB")
    for number in task.pairs:
        random = np.random.default_rng([seed, number])
        hr[number] = crop(photograph, hr.shape[1], random)
        small = corrupt.corrupt(from_array(hr[number]), int(random.integers(2**62)))
        lr[number] = to_array(small)
    return len(task.pairs)


def degradation(strength: str) -> Blind:
    """The named degradation, without film frames where PyAV is missing, with a message."""
    corrupt = Blind(SCALE, **STRENGTHS[strength])
    if find_spec("av") is None:
        print("pairs: film frames are left out, for PyAV is not installed", file=sys.stderr)
        corrupt = Blind(SCALE, **STRENGTHS[strength] | {"film": 0.0})
    return corrupt


def write(options: argparse.Namespace) -> None:
    corrupt = degradation(options.strength)
    side = options.lr_side * SCALE
    pixels = photographs(options.folder, options.exclude, side)
    tasks = plan(pixels, options.count, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, length in (("hr.npy", side), ("lr.npy", options.lr_side)):
        shape = (options.count, length, length, 3)
        np.lib.format.open_memmap(options.out / name, "w+", np.uint8, shape)
    start, done = time.perf_counter(), 0
    work = partial(make, folder=options.out, corrupt=corrupt, seed=options.seed)
    with get_context("spawn").Pool(options.workers) as pool:
        for number in pool.imap_unordered(work, tasks):
            done += number
    seconds = time.perf_counter() - start
    rate = done / seconds
    record = {
        "count": done,
        "seed": options.seed,
        "photographs": len(pixels),
        "strength": options.strength,
        "degradation": asdict(corrupt),
    }
    (options.out / "pairs.json").write_text(json.dumps(record, indent=2) + "\n")
    workers = options.workers
    print(f"{done} pairs in {seconds:.1f} s, {rate:.1f} a second, {rate / workers:.1f} a worker")


def parsed(arguments: list[str]) -> argparse.Namespace:
    made = parser("pairs", __doc__)
    made.add_argument("folder", type=Path, metavar="HR_FOLDER")
    made.add_argument("out", type=Path, metavar="OUT_FOLDER")
    made.add_argument("--count", type=int, required=True)
    made.add_argument("--lr-side", type=int, default=64, help="pixels")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--workers", type=int, default=1, help="processes")
    made.add_argument("--strength", choices=list(STRENGTHS), default="middle")
    made.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="of paths below HR_FOLDER that are kept out, such as 'clic2025/3[5-9]_*'; repeatable",
    )
    return made.parse_args(arguments)


def main(arguments: list[str]) -> None:
    write(parsed(arguments))
