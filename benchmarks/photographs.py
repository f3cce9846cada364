"""Make training photographs and their LR versions from whole images.

    python -m benchmarks photographs FOLDER OUT --workers 16

writes OUT/hr, OUT/lr4 and OUT/lr2, PNG files of the same names: what `train.py --data --lr` and
`python -m benchmarks teach dat` take. Photographs whose shorter side has at least 1,024 pixels are
written at scales 1, 0.7 and 0.5, all cropped to multiples of 4. Subfolders are searched.
"""

import argparse
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks import parser
from benchmarks.pairs import LARGE, photographs
from hvae_sr.degradations import get_degradation
from hvae_sr.imaging.pixels import to_image, to_tensor

SCALES = (1.0, 0.7, 0.5)  # of large photographs
FACTORS = (4, 2)  # of their LR versions


def resized(photograph: Image.Image, scale: float) -> Tensor:
    """(1, 3, H, W) in [0, 1], sides multiples of 4."""
    width, height = (round(side * scale) for side in photograph.size)
    if scale != 1:
        photograph = photograph.resize((width, height), Image.Resampling.LANCZOS)
    return to_tensor(photograph.crop((0, 0, width // 4 * 4, height // 4 * 4)))


def write(path: Path, out: Path) -> int:
    """Every scale of one photograph; how many files of `hr` that are."""
    torch.set_num_threads(1)
    with Image.open(path) as file:
        photograph = file.convert("RGB")
    scales = SCALES if min(photograph.size) >= LARGE else SCALES[:1]
    for scale in scales:
        hr = resized(photograph, scale)
        parts = {"hr": hr} | {f"lr{n}": get_degradation("bicubic", n)(hr) for n in FACTORS}
        for folder, image in parts.items():
            name = f"{path.parent.name}-{path.stem}-{round(100 * scale)}.png"
            to_image(image[0]).save(out / folder / name, compress_level=1)
    return len(scales)


def options(arguments: list[str]) -> argparse.Namespace:
    made = parser("photographs", __doc__)
    made.add_argument("folder", type=Path, metavar="FOLDER")
    made.add_argument("out", type=Path, metavar="OUT")
    made.add_argument("--workers", type=int, default=1, help="processes")
    made.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="of paths below FOLDER that are kept out, such as 'clic2025/3[5-9]_*'; repeatable",
    )
    return made.parse_args(arguments)


def main(arguments: list[str]) -> None:
    given = options(arguments)
    found = photographs(given.folder, given.exclude, 64)
    for folder in ("hr", *(f"lr{n}" for n in FACTORS)):
        (given.out / folder).mkdir(parents=True, exist_ok=True)
    with get_context("spawn").Pool(given.workers) as pool:
        count = sum(pool.imap_unordered(partial(write, out=given.out), found))
    print(f"{len(found)} photographs, {count} images: {given.out}")
