"""Print speed and memory of the bundled models, as ratios measured in one run.

    python -m benchmarks speed
    python -m benchmarks speed tiling speed

Ratios, because machines are noisy.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import parser
from hvae_sr.hub import load
from hvae_sr.models.edsr import EDSR
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.storage.shelf import bundled
from hvae_sr.training.data import Stack
from hvae_sr.training.loop import Trainer
from hvae_sr.training.recipes import PRESETS
from hvae_sr.training.setup import Options, hardware

REPEATS = 5
PHOTO_CNN = "photo-cnn-x4"
SIDES = (80, 160, 320, 500, 1000)  # LR pixels: 0.1 to 16 megapixels of x4 output
TILE = 256
LARGE = """
import resource, sys, time
import torch, hvae_sr

def peak():  # KiB; ru_maxrss of a child starts at its parent's peak
    try:
        return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

name, side, tile = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = hvae_sr.load(name)
model.upscale(torch.zeros(1, 3, 8, 8))
lr = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
before, begin = peak(), time.process_time()
model.upscale(lr, tile=tile)
print(time.process_time() - begin, before / 2**10, peak() / 2**10)
"""


def imports() -> None:
    """Importing the package, and everything `load` needs, against importing torch alone."""
    base = median_seconds(lambda: _python("import torch"))
    for statement in ("import hvae_sr", "import hvae_sr; hvae_sr.load"):
        ratio = median_seconds(lambda code=statement: _python(code)) / base  # type: ignore[misc]
        print(f"`{statement}` takes {ratio:.2f} x `import torch`")


def tiling() -> None:
    """Peak memory and CPU time of large images; CPU time, as neighbours disturb it least."""
    name = PHOTO_CNN if PHOTO_CNN in bundled() else "study-cnn-cifar10-x4"
    print(f"{name} with tiles of {TILE} LR pixels, one process per image:")
    first: tuple[float, float] | None = None
    for side in SIDES:
        child = subprocess.run(
            [sys.executable, "-c", LARGE, name, str(side), str(TILE)],
            check=True,
            capture_output=True,
            text=True,
        )
        seconds, before, peak = map(float, child.stdout.split())
        megapixels = (4 * side) ** 2 / 1e6
        pace, memory = seconds / megapixels, peak - before - megapixels * 12e6 / 2**20
        line = f"  {megapixels:5.1f} megapixels: {seconds:7.1f} s of CPU, {peak:6.0f} MiB at most"
        if side >= TILE:
            # Smaller images are one tile and take less; from here on only the output grows.
            first = first or (pace, memory)
            line += (
                f"; time per pixel x {pace / first[0]:.2f}, "
                f"memory beside the output x {memory / first[1]:.2f}"
            )
        print(line, flush=True)


def speed(side: int = 256) -> None:
    """`photo-cnn-x4` against EDSR-baseline, untrained, of the same torch and on the same image."""
    if PHOTO_CNN not in bundled():
        print(f"{PHOTO_CNN} is not bundled: nothing to compare with EDSR-baseline")
        return
    model, peer = load(PHOTO_CNN), EDSR(scale=4).eval()
    lr = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = median_seconds(lambda: model.upscale(lr)), median_seconds(lambda: peer(lr))
    print(
        f"{PHOTO_CNN}: {side}x{side} -> {4 * side}x{4 * side} takes {ours:.2f} s, "
        f"{theirs / ours:.1f} x faster than EDSR-baseline "
        f"({theirs:.2f} s, {torch.get_num_threads()} threads)"
    )


def batches() -> None:
    """`upscaling` of every bundled model."""
    for name in bundled():
        upscaling(name)


def upscaling(name: str) -> None:
    """One batched call against single calls: 64 images, and 16 samples of one image."""
    model = load(name)
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batched = median_seconds(lambda: model.upscale(images))
    single = median_seconds(lambda: [model.upscale(one) for one in images.split(1)])
    print(f"{name}: 64 images at once are {single / batched:.1f} x faster than 64 calls")
    if not isinstance(model, GenerativeModel):
        return
    one = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batched = median_seconds(lambda: model.upscale(one, num_samples=16, temperature=1.0, seed=0))
    single = median_seconds(
        lambda: [model.upscale(one, num_samples=1, temperature=1.0, seed=s) for s in range(16)]
    )
    print(f"{name}: 16 samples at once are {single / batched:.1f} x faster than 16 calls")


def training_overhead(preset: str, steps: int = 12) -> None:
    """Data, logging and EMA as a share of a training step, and the run's peak memory."""
    pixels = torch.randint(0, 256, (47_500, 3, 32, 32), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), log_every=10**9, save_every=10**9)
        trainer = Trainer(PRESETS[preset], Stack(pixels, "noise"), options, "benchmark")
        whole = other = 0.0
        for step in range(steps):
            trainer.step = step
            begin = time.perf_counter()
            trainer.train_step()
            middle = time.perf_counter()
            trainer.batch(step, trainer.recipe.batch_size)
            trainer.ema.update(trainer.model)
            trainer.record({"step": step})
            end = time.perf_counter()
            if step >= 2:  # the first steps allocate
                whole += middle - begin
                other += end - middle
        trainer.accelerator.end_training()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{preset}: data, logging and EMA are {100 * other / whole:.1f} % of a training step")
    print(f"peak memory of this process, CIFAR-10 sized training included: {peak:.2f} GiB")


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def median_seconds(action: Callable[[], object]) -> float:
    """Median time of an action, after one warm-up."""
    action()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


SECTIONS: dict[str, Callable[[], None]] = {
    "imports": imports,
    "tiling": tiling,  # early: a child's peak memory starts at its parent's
    "speed": speed,
    "batches": batches,
    "training": lambda: training_overhead("hvae-cifar10-x4"),
}


def main(arguments: list[str]) -> None:
    made = parser("speed", __doc__)
    made.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all if left out"
    )
    chosen = made.parse_args(arguments).sections or list(SECTIONS)
    for name in chosen:
        if name not in SECTIONS:
            raise ValueError(f"{name!r} is not one of {', '.join(SECTIONS)}")
    print(f"on {hardware(torch.device('cpu'))}, torch {torch.__version__}\n")
    for name in chosen:
        SECTIONS[name]()
