"""Speed and memory of the bundled models, as ratios within one run (machines are noisy)."""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from hvae_sr.data import Stack
from hvae_sr.generative import GenerativeModel
from hvae_sr.hub import bundled, load
from hvae_sr.training.loop import Options, Trainer, hardware
from hvae_sr.training.recipes import PRESETS

REPEATS = 5


def main() -> None:
    """Print every figure with what it is compared to."""
    print(f"on {hardware(torch.device('cpu'))}, torch {torch.__version__}\n")
    imports()
    for name in bundled():
        upscaling(name)
    training_overhead("hvae-cifar10-x4")


def imports() -> None:
    """Importing the package, and everything `load` needs, against importing torch alone."""
    base = _seconds(lambda: _python("import torch"))
    for statement in ("import hvae_sr", "import hvae_sr; hvae_sr.load"):
        ratio = _seconds(lambda code=statement: _python(code)) / base  # type: ignore[misc]
        print(f"`{statement}` takes {ratio:.2f} x `import torch`")


def upscaling(name: str) -> None:
    """One batched call against single calls: 64 pictures, and 16 samples of one picture."""
    model = load(name)
    pictures = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batched = _seconds(lambda: model.upscale(pictures))
    single = _seconds(lambda: [model.upscale(one) for one in pictures.split(1)])
    print(f"{name}: 64 pictures at once are {single / batched:.1f} x faster than 64 calls")
    if not isinstance(model, GenerativeModel):
        return
    one = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batched = _seconds(lambda: model.upscale(one, num_samples=16, temperature=1.0, seed=0))
    single = _seconds(
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


def _seconds(action: Callable[[], object]) -> float:
    """Median time of an action, after one warm-up."""
    action()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
