"""What makes two runs the same one: a run that is resumed must be the run that was begun."""

import hashlib
from dataclasses import asdict
from typing import Any

from hvae_sr.errors import TrainingError
from hvae_sr.training.data import ImageSet
from hvae_sr.training.recipes import Recipe
from hvae_sr.training.setup import Options

CARRIED_OUT = (
    "seed",
    "precision",
    "accumulate",
    "anneal_minutes",
)  # options that change the result


def identity(recipe: Recipe, options: Options, images: ImageSet) -> dict[str, Any]:
    """All that the weights depend on, as JSON: recipe, options, and a fingerprint of the images."""
    digest = hashlib.sha256()
    for part in images.batch(0, 0, 4):
        if part is not None:
            digest.update(part.contiguous().numpy().tobytes())
    chosen = {name: getattr(options, name) for name in CARRIED_OUT}
    described = {"data": images.describe(), "data_fingerprint": digest.hexdigest()[:16]}
    features = str(options.features) if options.features else None
    return {**asdict(recipe), **chosen, "features": features, **described}


def changes(begun: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between a run as it was begun and as it would go on, in words."""
    return [
        f"{name} {begun.get(name)!r} is now {now.get(name)!r}"
        for name in sorted({*begun, *now})
        if begun.get(name) != now.get(name)
    ]


def check_unchanged(begun: dict[str, Any], now: dict[str, Any], allowed: bool) -> list[str]:
    """What has changed since a run was begun.

    Args:
        allowed: whether changes are wanted (`--allow-changes`).

    Raises:
        TrainingError: naming the changes, when they are not.
    """
    found = changes(begun, now)
    if found and not allowed:
        raise TrainingError(
            f"this is not the run that was begun ({'; '.join(found)}): resume it with its own "
            "options, or add --allow-changes"
        )
    return found
