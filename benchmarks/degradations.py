"""Draw a sheet of what the blind degradation makes of photographs.

    python -m benchmarks degradations PHOTOGRAPH... --out docs/degradations.webp

One row a photograph: a crop with much detail, its cleanly shrunk LR image, three of the default
strength and three of the heavier one, LR pixels shown as squares. Every image
has a seed of its own.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import parser
from benchmarks.pairs import SCALE, crop
from hvae_sr.degradations.blind import STRENGTHS, Blind, from_array, to_array

SIDE = 192  # HR pixels of a crop
GAP = 4
SEEDS = 3  # of each strength
CANDIDATES = 12  # crops of which one is shown


def detail(image: np.ndarray) -> float:
    """Mean difference of neighbours along a row, in 8-bit steps."""
    return float(np.abs(np.diff(image.astype(int), axis=1)).mean())


def row(path: Path, seeds: range) -> np.ndarray:
    """(SIDE, width, 3) uint8: one photograph's images side by side."""
    random = np.random.default_rng(0)
    with Image.open(path) as file:
        photograph = file.convert("RGB")
    hr = max((crop(photograph, SIDE, random) for _ in range(CANDIDATES)), key=detail)
    clean = Blind(SCALE, clean=1.0).corrupt(from_array(hr), 0)
    small = [clean]
    for arguments in STRENGTHS.values():
        corrupt = Blind(SCALE, **arguments | {"clean": 0.0})
        small += [corrupt.corrupt(from_array(hr), seed) for seed in seeds]
    images = [hr, *(to_array(lr).repeat(SCALE, 0).repeat(SCALE, 1) for lr in small)]
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    return np.concatenate([part for image in images for part in (image, gap)][:-1], axis=1)


def main(arguments: list[str]) -> None:
    made = parser("degradations", __doc__)
    made.add_argument("photographs", nargs="+", type=Path, metavar="PHOTOGRAPH")
    made.add_argument("--out", type=Path, required=True)
    options = made.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [
        row(path, range(SEEDS * k, SEEDS * (k + 1))) for k, path in enumerate(options.photographs)
    ]
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    sheet = np.concatenate([part for one in rows for part in (one, gap)][:-1])
    Image.fromarray(sheet).save(options.out, quality=85)
