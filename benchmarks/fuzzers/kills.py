"""Commands that are ended in mid-work: what is there is whole, and can be gone on with."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.fuzzers.verdicts import Outcome, Verdict
from hvae_sr.errors import HvaeSrError
from hvae_sr.imaging.files import open_image

COUNT = 100
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
IMAGES, SIDE = 24, 48
TRAINING = "a training"
SECONDS = 12.0  # within which a signal comes: start, work and end of a command


@dataclass(frozen=True)
class Job:
    """A command, what it writes into, and the words that let it go on."""

    name: str
    arguments: tuple[str, ...]
    target: str
    onwards: tuple[str, ...] = ()


JOBS = (
    Job("a folder of images", ("upscale", "photos", "large"), "large"),
    Job("one image", ("upscale", "photos/0.png", "large/0.png"), "large", ("--overwrite",)),
    Job("a small file", ("shrink", "photos/1.png", "large/1.webp"), "large", ("--overwrite",)),
    Job(
        TRAINING,
        (
            *("train", "--preset", "srcnn-955-cifar10-x4", "--data", "train.npy", "--steps", "60"),
            *("--batch-size", "4", "--validation", "4", "--save-every", "10", "--out", "large"),
        ),
        "large",
        ("--resume",),
    ),
)


def run(count: int, seed: int, scratch: Path) -> Iterator[Outcome]:
    """`count` outcomes: a command is ended by a signal, and then run again to its end."""
    _prepare(scratch)
    chance = random.Random(seed)
    for number in range(count):
        job, ended = JOBS[number % len(JOBS)], SIGNALS[number // len(JOBS) % len(SIGNALS)]
        after = chance.uniform(0.2, SECONDS)
        case = f"kill {number}: {job.name}, {ended.name} after {after:.1f} s"
        yield _killed(case, job, ended, after, scratch)


def _prepare(scratch: Path) -> None:
    (scratch / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
    for index, image in enumerate(noise):
        Image.fromarray(image).save(scratch / "photos" / f"{index}.png")
    np.save(scratch / "train.npy", noise[:, :32, :32])


def _killed(case: str, job: Job, ended: signal.Signals, after: float, scratch: Path) -> Outcome:
    target = scratch / job.target
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    begun = _start(job.arguments, scratch)
    try:
        begun.wait(after)
    except subprocess.TimeoutExpired:
        begun.send_signal(ended)
    _, said = begun.communicate()
    if "Traceback" in said:
        return Outcome(case, Verdict.TRACEBACK, said[-300:])
    for path in target.rglob("*.png"):
        if not _whole(path) and not _unfinished(path, target):
            return Outcome(case, Verdict.WRONG, f"{path.name} is not whole")
    if left := _left(target, ended):
        return Outcome(case, Verdict.LEFTOVER, left)
    onwards = job.onwards
    if job.name == TRAINING and not any(target.glob("checkpoints/*")):
        onwards = ()
        shutil.rmtree(target)
    again = _start((*job.arguments, *onwards), scratch)
    _, said = again.communicate()
    if again.returncode != 0:
        return Outcome(case, Verdict.WRONG, f"the second run: {said[-300:]}")
    if left := _left(target, ended):
        return Outcome(case, Verdict.LEFTOVER, left)
    return Outcome(case, Verdict.RESULT)


def _start(arguments: tuple[str, ...], scratch: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hvae_sr", *arguments]
    return subprocess.Popen(
        command, cwd=scratch, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def _left(target: Path, ended: signal.Signals) -> str:
    """Names of unfinished files; after SIGKILL, which nobody hears, they cannot but stay."""
    if ended is signal.SIGKILL:
        return ""
    return ", ".join(path.name for path in target.rglob("*") if _unfinished(path, target))


def _unfinished(path: Path, target: Path) -> bool:
    """Whether a file is, or lies in, something that was being written."""
    return any(part.startswith(".") for part in path.relative_to(target).parts)


def _whole(path: Path) -> bool:
    try:
        open_image(path)
    except HvaeSrError:
        return False
    return True
