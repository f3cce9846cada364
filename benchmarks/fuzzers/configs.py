"""Configs of the bundled models with one or two values that nobody should write."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hvae_sr
from benchmarks import MODEL_CARDS
from benchmarks.fuzzers.verdicts import Outcome, judged
from hvae_sr.storage import serialization
from hvae_sr.storage.serialization import CONFIG, WEIGHTS

COUNT = 1_500
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 4_095, 4_097, 2**31, 2**63, 10**30, -(10**30)),
    *(0.0, 0.5, 1e-300, 1e300, float("nan"), float("inf"), "", "x", "4", "a" * 5_000, "\u0000"),
    *([], {}, [1], [0], [-1], [[1]], [None], ["a"], [1] * 3_000, {"a": 1}, {"name": "gaussian"}),
    {"name": "nothing"},
    {"name": ["gaussian"]},
]


def run(count: int, seed: int, scratch: Path) -> Iterator[Outcome]:
    """`count` outcomes of loading weights by a config that is not the one they were saved with."""
    chance = random.Random(seed)
    originals = {
        path.parent: json.loads(path.read_text()) for path in MODEL_CARDS.glob(f"*/{CONFIG}")
    }
    names = sorted(originals)
    path = scratch / CONFIG
    for number in range(count):
        name = chance.choice(names)
        config = copy.deepcopy(originals[name])
        shutil.copy(name / WEIGHTS, scratch)
        changes = [_change(config, chance) for _ in range(chance.choice((1, 1, 1, 2)))]
        path.write_text(_written(config, chance))
        yield judged(
            f"config {number}: {', '.join(changes)}", partial(hvae_sr.load, scratch), _kept
        )


def _change(config: dict[str, Any], chance: random.Random) -> str:
    """One change somewhere in a config, in words."""
    place: Any = config
    while True:
        key = (
            chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        )
        inner = place[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            place = inner
            continue
        break
    kind = chance.choice(("value", "value", "value", "gone", "new", "wrapped"))
    if kind == "gone" and isinstance(place, dict):
        del place[key]
    elif kind == "new" and isinstance(place, dict):
        place[chance.choice(["new", "", "scale ", "__class__", "self"])] = chance.choice(VALUES)
    elif kind == "wrapped":
        for _ in range(chance.choice((1, 3, 60, 400))):
            inner = [inner]
        place[key] = inner
    else:
        place[key] = chance.choice(VALUES)
    return f"{key} {kind}"


def _written(config: dict[str, Any], chance: random.Random) -> str:
    text = json.dumps(config)
    if chance.random() < 0.1:  # damaged as text
        cut = chance.randrange(len(text))
        text = (
            text[:cut]
            + chance.choice(["", "\u0000", "}", "[" * 3_000, "\ud800"[:0]])
            + text[cut + 1 :]
        )
    return text


def _kept(model: Any) -> bool:
    """A config that was accepted says again what it says."""
    text = json.dumps(serialization.written_config(model.full_config), allow_nan=False)
    return bool(json.loads(text))
