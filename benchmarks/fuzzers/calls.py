"""Calls of the public API, each with one argument that nobody should hand over."""

import itertools
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import hvae_sr
from benchmarks.fuzzers.verdicts import Outcome, judged
from hvae_sr.errors import HvaeSrError
from hvae_sr.models.traversal import interpolate, redraw, stages
from hvae_sr.rescale import restore, shrink

NOT_NUMBERS: list[Any] = ["three", "", [1], {}, b"1", object(), 1 + 2j, torch.ones(2)]
WHOLE: list[Any] = [*NOT_NUMBERS, 1.5, float("nan"), float("inf"), -1, 0, 10**30, -(2**63)]
REAL: list[Any] = [*NOT_NUMBERS, float("nan"), float("inf"), -1, -1e300, 10**400]
WORDS: list[Any] = [
    1,
    1.5,
    [],
    {},
    object(),
    "",
    "nothing",
    "a" * 5_000,
    "\u0000",
    "../..",
    b"mean",
]
FLAGS: list[Any] = ["yes", [], 2]
SIZES: list[Any] = [3, "4k", (3,), (3, 3, 3), (0, 3), (-1, 3), (3.5, 3), ("a", "b"), (10**9, 10**9)]
IMAGES: list[Any] = [
    *(None, 3, "in.png", [], {}, object(), Path("in.png"), np.zeros((4, 4)), np.zeros((0, 4, 3))),
    *(Image.new("RGB", (0, 0)), Image.new("RGB", (1, 0)), Image.new("F", (4, 4), float("nan"))),
]
TENSORS: list[Any] = [
    *(None, 3, "x", [], np.zeros((1, 3, 8, 8)), torch.zeros(()), torch.zeros(3, 8, 8)),
    *(torch.zeros(1, 1, 8, 8), torch.zeros(1, 4, 8, 8), torch.zeros(1, 3, 0, 8)),
    *(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=torch.bool)),
    *(torch.zeros(1, 3, 8, 8, dtype=torch.complex64), torch.zeros(1, 3, 8, 8, 1)),
    *(torch.full((1, 3, 8, 8), float("nan")), torch.full((1, 3, 8, 8), float("inf"))),
    torch.full((1, 3, 8, 8), 255.0),
]

COUNT = 700  # more than there are
Call = Callable[..., Any]


@cache
def model() -> Any:
    """A generative model with a p(y), and small."""
    return hvae_sr.load("vae-cifar10-x4")


@cache
def photograph_model() -> Any:
    return hvae_sr.load("photo-cnn-x4")


def _calls() -> dict[str, tuple[Call, dict[str, Any], dict[str, list[Any]]]]:
    """Name -> what is called, with what, and what each argument is replaced by."""
    image, lr = Image.new("RGB", (8, 8), (90, 120, 30)), torch.full((1, 3, 8, 8), 0.4)
    hr = torch.full((1, 3, 32, 32), 0.4)
    drawn = {"num_samples": WHOLE, "temperature": REAL, "seed": WHOLE, "decode": WORDS}
    options = drawn | {"consistent": FLAGS, "tile": [*WHOLE, ""], "dtype": WORDS, "size": SIZES}
    options |= {"quality": WHOLE}
    two = hr.expand(2, -1, -1, -1)
    return {
        "load": (hvae_sr.load, {"name_or_path": "photo-cnn-x4"}, _of_load()),
        "from_pretrained": (
            hvae_sr.HVAE.from_pretrained,
            {"pretrained_model_name_or_path": "photo-hvae-x4"},
            {"pretrained_model_name_or_path": WORDS, "strict": [False], "scale": [3, "x"]},
        ),
        "list_models": (
            hvae_sr.list_models,
            {},
            {"scale": WHOLE, "degradation": WORDS, "model_class": [3, "HVAE", int, None]},
        ),
        "get_degradation": (
            hvae_sr.get_degradation,
            {"name": "gaussian", "scale": 4},
            {"name": [*WORDS, {}, {"name": 3}, {"name": "gaussian", "x": 1}], "scale": WHOLE},
        ),
        "degradation(hr)": (hvae_sr.get_degradation("gaussian", 4), {"hr": hr}, {"hr": TENSORS}),
        "UpscaleOptions": (hvae_sr.UpscaleOptions, {}, options),
        "upscale image": (photograph_model().upscale, {"image": image}, {"image": IMAGES}),
        "upscale tensor": (photograph_model().upscale, {"image": lr}, {"image": TENSORS}),
        "upscale drawn": (model().upscale, {"image": lr, "temperature": 1}, drawn),
        "Upscaler": (
            lambda image, **given: hvae_sr.Upscaler(photograph_model())(image, **given),
            {"image": image},
            {"image": IMAGES, "size": SIZES, "num_samples": WHOLE, "wrong": [1]},
        ),
        "sample": (
            model().sample,
            {"num_samples": 1},
            {"num_samples": WHOLE, "size": SIZES, "temperature": REAL, "seed": WHOLE},
        ),
        "elbo": (model().elbo, {"hr": hr, "lr": lr}, {"hr": TENSORS, "lr": TENSORS}),
        "loss": (model().loss, {"hr": hr, "lr": lr}, {"hr": TENSORS, "lr": TENSORS}),
        "encode": (model().encode, {"hr": hr, "lr": lr}, {"hr": TENSORS, "lr": TENSORS}),
        "reconstruct": (model().reconstruct, {"hr": hr, "lr": lr}, {"hr": TENSORS, "lr": TENSORS}),
        "stages": (stages, {"model": model()}, {"size": SIZES}),
        "redraw": (
            lambda **given: list(redraw(**given)),
            {"model": model(), "seed": 0, "others": 1},
            {"seed": WHOLE, "others": WHOLE, "size": SIZES, "lr": TENSORS, "temperature": REAL},
        ),
        "interpolate": (
            interpolate,
            {"model": model(), "start": 0, "end": 1, "steps": 2},
            {"start": WHOLE, "steps": WHOLE, "size": SIZES, "temperature": REAL},
        ),
        "shrink": (
            shrink,
            {"image": image, "by": photograph_model()},
            {"image": IMAGES, "by": [3, "photo-cnn-x4", None]},
        ),
        "restore": (
            restore,
            {"small": image, "model": photograph_model(), "shrunk": two},
            {"shrunk": [3, None, {}]},
        ),
    }


def _of_load() -> dict[str, list[Any]]:
    return {"name_or_path": WORDS, "device": ["nothing", 3.5, [], "cuda:99"]}


def run(count: int, seed: int, scratch: Path) -> Iterator[Outcome]:
    """`count` outcomes at most, spread over all calls; the same for every seed."""
    every = [
        (f"{name}({argument}={value!r:.60})".replace("\n", " "), call, {**given, argument: value})
        for name, (call, given, replaced) in _calls().items()
        for argument, values in replaced.items()
        for value in values
    ]
    step = max(1, len(every) // count)
    for case, call, given in itertools.islice(every, seed % step, None, step):
        # what is not finite when it comes in need not be when it comes out
        right = _finite if all(map(_finite, given.values())) else _anything
        yield judged(case, partial(call, **given), right, (HvaeSrError, TypeError, ValueError))


def _anything(result: Any) -> bool:
    return True


def _finite(result: Any) -> bool:
    return not isinstance(result, Tensor) or bool(result.isfinite().all())
