"""The other hierarchies: at one size for one core, half an hour each, and at their papers' size."""

import math
from dataclasses import replace
from typing import Any

from hvae_sr.training.recipes.hierarchies import CONSTANT, HVAE, WITHOUT_Y, levels
from hvae_sr.training.recipes.recipe import Objective, Recipe

# In short runs latents need a larger share of the steps to find what to say before the rate bears
# on them.
_FAMILY = replace(
    HVAE,
    steps=2_400,
    learning_rate=1.5e-3,
    ema=0.995,
    objective=Objective(kl_warmup_start=0.2, kl_warmup_end=0.6, prior_weight=2.0),
)
_SMALL: dict[str, Any] = {"scale": 4, "latent": 8, "start_blocks": 2, "mixtures": 5}
_SMALL_WITHOUT_Y: dict[str, Any] = {**CONSTANT, "latent": 8, "mixtures": 5}
# For GPUs, with the authors' optimiser.
_AT_PAPER_SCALE = replace(_FAMILY, optimizer="adamax", ema=0.9999)

_LADDER = replace(
    _FAMILY, model="LadderVAE", arguments={**_SMALL, **levels([64, 48], [1, 3], [1, 2])}
)

# Two groups of a bottom-up and a top-down latent at the finest level, and one latent above them.
_BIVA = replace(
    _FAMILY,
    model="BIVA",
    arguments={**_SMALL, **levels([48, 32], [1, 2], [1, 1]), "bottleneck": 2},
)

# Latents at one resolution, as in the paper's CIFAR-10 model. The spectral regularisation is that
# of its ImageNet-32 model, whose lambda decays.
_NVAE = replace(
    _FAMILY,
    model="NVAE",
    arguments={
        **_SMALL,
        **levels([48, 48], [0, 4], [0, 1]),
        "finish_blocks": 1,
        "expansion": 3,
        "cell_scale": 1.0,
        "spectral_weight": 0.01,
        "spectral_start": 1.0,
    },
)

PRESETS: dict[str, Recipe] = {
    "ladder-cifar10-x4": _LADDER,
    # what the merge is compared with
    "ladder-cifar10-x4-bottom-up": _LADDER.but({"merge": "bottom_up"}),
    # Of images without an LR input: p(x). No latents at full resolution, or a step takes seconds.
    "ladder-cifar10": replace(
        _LADDER,
        arguments={
            **_SMALL_WITHOUT_Y,
            **levels([64, 64, 48, 24], [1, 2, 3, 0], [1, 1, 1, 1]),
        },
        objective=WITHOUT_Y,
    ),
    # the usual image version, see tests/test_ladder.py; the warm-up is the paper's tenth of a run
    "ladder-cifar10-paper": replace(
        _AT_PAPER_SCALE,
        model="LadderVAE",
        arguments={
            **CONSTANT,
            **levels([64] * 5, [5, 5, 5, 0, 0], [4, 4, 4, 1, 4]),
            "latent": 32,
            "cell": "plain",
            "mixtures": 10,
        },
        steps=300_000,
        batch_size=64,
        learning_rate=3e-4,
        objective=Objective(kl_warmup_start=0.0, kl_warmup_end=0.1),
    ),
    "nvae-cifar10-x4": _NVAE,
    "nvae-cifar10": _NVAE.but(
        {**CONSTANT, **levels([48, 48], [1, 4], [1, 1]), "stem": 2},
        steps=1_900,
        objective=WITHOUT_Y,
    ),
    # The command that NVAE's authors give for CIFAR-10: 131 M parameters there, 8 GPUs, 400 epochs.
    "nvae-cifar10-paper": replace(
        _AT_PAPER_SCALE,
        model="NVAE",
        arguments={
            **CONSTANT,
            **levels([256, 128], [30, 0], [2, 1]),
            "latent": 20,
            "finish_blocks": 0,
            "expansion": 6,
            "cell_scale": 0.1,
            "flows": 1,
            "spectral_weight": 0.01,
            "spectral_start": None,
            "mixtures": 10,
        },
        steps=78_000,
        batch_size=256,
        learning_rate=1e-2,
        warmup_steps=1_000,
        final=0.01,
        weight_decay=3e-4,
        clip=200.0,
        ema=0.999,
        objective=Objective(kl_warmup_start=0.0001, kl_warmup_end=0.3, beta_start=0.0001),
    ),
    "biva-cifar10-x4": _BIVA,
    "biva-cifar10": replace(
        _BIVA,
        arguments={
            **_SMALL_WITHOUT_Y,
            **levels([48, 48, 32], [1, 1, 2], [1, 1, 1]),
            "bottleneck": 2,
            "stem": 2,
        },
        objective=WITHOUT_Y,
    ),
    # the authors' configuration for CIFAR-10: 15 groups, 500 epochs, 2 free nats a latent
    "biva-cifar10-paper": replace(
        _AT_PAPER_SCALE,
        model="BIVA",
        arguments={
            **CONSTANT,
            **levels([96] * 4, [1, 4, 10, 0], [3, 3, 3, 2]),
            "latent": list(range(10, 40, 2)),
            "kernels": [3, 3, 3, 5],
            "latent_kernels": [4, 8, 16, 3],
            "mixtures": 10,
        },
        steps=520_000,
        batch_size=48,
        learning_rate=2e-3,
        final=0.6,
        ema=0.9995,
        objective=Objective(beta_start=1.0, free_bits=2 / (math.log(2) * 3 * 32**2)),
    ),
    "srvae-cifar10-x4": replace(
        _FAMILY,
        model="SRVAE",
        arguments={
            "scale": 4,
            "widths": [48],
            "blocks": [3],
            "z_reduction": 2,
            "finish_blocks": 4,
            "u_widths": [48],
            "u_blocks": [2],
            "u_reduction": 2,
            "couplings": 4,
            "coupling_width": 24,
            "latent": 8,
            "mixtures": 5,
        },
    ),
    # the size of the authors' network, x2; their optimiser, 2,000 epochs, no warm-up
    "srvae-cifar10-paper": replace(
        _AT_PAPER_SCALE,
        model="SRVAE",
        arguments={
            "scale": 2,
            "widths": [384, 256, 256],
            "blocks": [1, 1, 1],
            "z_reduction": 4,
            "prior_blocks": 5,
            "finish_blocks": 21,
            "start_width": 192,
            "start_blocks": 6,
            "u_widths": [384, 256],
            "u_blocks": [3, 3],
            "u_reduction": 2,
            "couplings": 10,
            "coupling_width": 248,
            "coupling_blocks": 3,
            "latent": 16,
            "mixtures": 10,
        },
        steps=2_600_000,
        learning_rate=2e-3,
        final=0.05,
        objective=Objective(beta_start=1.0),
    ),
}
