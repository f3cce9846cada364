"""The hierarchical VAE for thumbnails: p(x | y), p(x), and p(y) for images from nothing."""

from dataclasses import replace
from typing import Any

from hvae_sr.training.recipes.recipe import Objective, Recipe

CONSTANT: dict[str, Any] = {"scale": 1, "start": "constant"}  # without an LR input
WITHOUT_Y = Objective(kl_warmup_start=0.1, kl_warmup_end=0.5)


def levels(widths: list[int], groups: list[int], blocks: list[int]) -> dict[str, Any]:
    """Arguments that are lists, one entry per level, coarse to fine."""
    return {"widths": widths, "groups": groups, "blocks": blocks}


HVAE = Recipe(
    model="HVAE",
    arguments={
        "scale": 4,
        **levels([96, 64], [1, 3], [1, 2]),
        "latent": 8,
        "start_blocks": 3,
        "projection_scale": 1.0,  # 1/sqrt(groups), the paper's, let latents collapse in short runs
        "mixtures": 5,
    },
    steps=7_500,
    batch_size=32,
    optimizer="adamw",
    learning_rate=1e-3,
    clip=2.0,
    objective=Objective(kl_warmup_start=0.05, prior_weight=2.0),
)

_LR_PRIOR = replace(
    HVAE,
    arguments={
        **CONSTANT,
        **levels([64, 64, 64], [1, 2, 3], [1, 1, 2]),
        "latent": 8,
        "cell": "plain",
        "projection_scale": 1.0,
        "mixtures": 5,
    },
    steps=2_000,
    batch_size=64,
    objective=Objective(),
    shrink={"name": "gaussian", "scale": 4},
)

PRESETS: dict[str, Recipe] = {
    "hvae-cifar10-x4": HVAE,
    # p(x) without an LR image, so that bits/dim compare with the paper's
    "hvae-cifar10": _LR_PRIOR.but(
        {"widths": [64, 64, 48], "stem": 2, "cell": "bottleneck"},
        steps=2_400,
        batch_size=32,
        ema=0.995,
        objective=WITHOUT_Y,
        shrink=None,
    ),
    # VDVAE's own configuration for CIFAR-10 (39 M parameters), for GPUs
    "hvae-cifar10-paper": replace(
        HVAE,
        arguments={
            **CONSTANT,
            **levels([384] * 6, [1, 0, 3, 6, 11, 22], [3, 0, 4, 7, 7, 12]),
            "latent": 16,
            "bottleneck": 4,
            "activation": "gelu",
            "resample": "pool",
            "mixtures": 10,
        },
        steps=1_100_000,
        learning_rate=2e-4,
        weight_decay=0.01,
        clip=200.0,
        skip_above=10.0,
        ema=0.9999,
        objective=Objective(beta_start=1.0),
    ),
    "hvae-cifar10-lr": _LR_PRIOR,
    "hvae-cifar10-lr-small": _LR_PRIOR.but(
        {"widths": [48, 48, 48], "groups": [1, 2, 2]}, steps=1_200, ema=0.995
    ),
    # Latents down to HR resolution, and cells after the last that give its noise a shape. Not
    # trained long enough yet to replace the released ones (docs/training-log.md).
    "hvae-cifar10-x4-three-levels": HVAE.but(
        {
            **levels([128, 64, 32], [1, 4, 2], [1, 3, 1]),
            "finish_blocks": 1,
            "mixtures": 10,
        },
        steps=40_000,
        ema=0.999,
        objective=Objective(kl_warmup_start=0.05, kl_warmup_end=0.3, prior_weight=1.0),
    ),
    "hvae-cifar10-x4-base": HVAE.but(
        {
            **levels([256, 192, 128], [2, 6, 6], [2, 3, 3]),
            "latent": 16,
            "start_blocks": 4,
            "mixtures": 10,
        },
        steps=30_000,
        batch_size=128,
        learning_rate=1.5e-3,
        ema=0.999,
    ),
}
