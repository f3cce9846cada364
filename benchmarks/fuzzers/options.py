"""Trainings of two steps, with two or three options that may not go together."""

import io
import random
import shutil
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from benchmarks.fuzzers.verdicts import Outcome, Verdict
from hvae_sr import cli

COUNT = 150
PRESETS = (
    "vae-cifar10-x4",
    "srresnet-cifar10-x4",
    "srgan-cifar10-x4",
    "photo-cnn-x4",
    "nvae-cifar10",
)
# Option -> values, right ones among them; None stands for an option without a value.
VALUES: dict[str, list[str | None]] = {
    "--preset": ["nothing", "", "hvae-cifar10-lr-small", "photo-real-x4"],
    "--data": ["nowhere", "empty", "text.npy", "cifar10x", "grey.npy", "small.npy", "images"],
    "--lr": ["nowhere", "empty", "small.npy", "images", "train.npy"],
    "--targets": ["nowhere", "images", "train.npy"],
    "--crop": ["1", "7", "32", "4096", "0", "x"],
    "--validation": ["1", "4", "1000000", "0"],
    "--out": ["taken.txt", "images/in", ""],
    "--steps": ["1", "0", "-1", "1e3"],
    "--batch-size": ["1", "3", "0", "x"],
    "--learning-rate": ["0", "-1", "nan", "inf", "1e30", "1e-30"],
    "--init": ["nothing", "vae-cifar10-x4", "photo-cnn-x2", "images", "a/b/c"],
    "--beta": ["0", "-1", "nan", "1e30"],
    "--kl-warmup": ["0", "1", "2", "-1", "nan"],
    "--free-bits": ["0.1", "-1", "nan"],
    "--mse-weight": ["1", "-1", "nan", "inf"],
    "--prior-weight": ["1", "-1", "nan"],
    "--base-model": ["study-cnn-cifar10-x4", "vae-cifar10-x4", "photo-cnn-x2", "nothing"],
    "--features": ["nowhere", "text.npy", "images"],
    "--feature-weight": ["0.1", "-1", "nan"],
    "--seed": ["1", "-1", "4294967296", "x"],
    "--precision": ["bf16", "fp16", "tf32", "int4"],
    "--accumulate": ["2", "3", "0"],
    "--channels-last": [None],
    "--max-minutes": ["0", "-1", "nan", "1"],
    "--anneal-minutes": ["0", "-1", "nan", "1"],
    "--resume": [None],
    "--allow-changes": [None],
    "--save-every": ["1", "0"],
}


def run(count: int, seed: int, scratch: Path) -> Iterator[Outcome]:
    """`count` outcomes of `hvae-sr train`: a model, or a sentence and no model."""
    _prepare(scratch)
    chance = random.Random(seed)
    for number in range(count):
        chosen: dict[str, str | None] = {
            "--preset": chance.choice(PRESETS),
            "--data": "train.npy",
            "--steps": "2",
            "--batch-size": "2",
            "--validation": "2",
            "--crop": "32",
            "--out": "run",
        }
        odd = chance.sample(sorted(VALUES), chance.choice((1, 2, 2, 3)))
        chosen = {**chosen, **{option: chance.choice(VALUES[option]) for option in odd}}
        case = f"train {number}: " + " ".join(f"{o} {chosen[o] or ''}".strip() for o in odd)
        yield _trained(case, chosen, scratch)


def _prepare(scratch: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)
    np.save(scratch / "train.npy", images)
    np.save(scratch / "small.npy", images[:, ::4, ::4])
    np.save(scratch / "grey.npy", images[..., 0])
    for name in ("text.npy", "taken.txt"):
        (scratch / name).write_text("no array")
    for folder in ("empty", "images"):
        (scratch / folder).mkdir()
    (scratch / "images" / "in.png").write_text("no image")


def _trained(case: str, options: dict[str, str | None], scratch: Path) -> Outcome:
    places = {"--data", "--lr", "--targets", "--out", "--features"}
    arguments = ["train"]
    for option, value in options.items():
        arguments.append(option)
        if value is not None:
            arguments.append(str(scratch / value) if option in places and value else value)
    out = scratch / "run"
    shutil.rmtree(out, ignore_errors=True)
    said = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said), warnings.catch_warnings():
            code = cli.run(arguments)
    except Exception as error:  # the finding that this is for
        return Outcome(case, Verdict.TRACEBACK, f"{type(error).__name__}: {error}"[:300])
    written = (out / "model" / "model.safetensors").is_file()
    errors = [line for line in said.getvalue().splitlines() if line.startswith("hvae-sr:")]
    if code == 0:
        right = written or "--out" in case
        return Outcome(case, Verdict.RESULT if right else Verdict.WRONG, "exit code 0, no model")
    if code != 2 or not errors:
        return Outcome(case, Verdict.TRACEBACK, f"exit code {code}: {said.getvalue()[-300:]}")
    return Outcome(case, Verdict.LEFTOVER if written else Verdict.SENTENCE, errors[-1])
