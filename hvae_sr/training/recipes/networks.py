"""Deterministic networks for thumbnails, and the ones of SRCNN's and SRGAN's papers."""

from dataclasses import replace

from hvae_sr.training.recipes.recipe import Player, Recipe

_STUDY_CNN = Recipe(
    model="StudyCNN",
    arguments={"scale": 4, "widths": [64, 64], "blocks": [5, 2]},
    steps=5_000,
    optimizer="adamw",
    learning_rate=1e-3,
    clip=0.1,
)

# The paper's network works on HR pixels: small crops, or a step takes seconds on a CPU.
_SRCNN = replace(
    _STUDY_CNN,
    model="SRCNN",
    arguments={"scale": 4, "kernels": [9, 5, 5], "filters": [64, 32], "degradation": "bicubic"},
    steps=20_000,
    batch_size=16,
    ema=0.999,
)

_SRRESNET = replace(
    _STUDY_CNN,
    model="SRResNet",
    arguments={"scale": 4, "width": 64, "blocks": 6},
    steps=1_500,
)

PRESETS: dict[str, Recipe] = {
    "study-cnn-cifar10-x4": _STUDY_CNN,
    "study-cnn-cifar10-x4-base": _STUDY_CNN.but(
        {"widths": [192, 128], "blocks": [8, 4]}, steps=60_000, batch_size=128, ema=0.999
    ),
    "srcnn-955-cifar10-x4": _SRCNN.but({"degradation": "gaussian"}, batch_size=64),
    "srcnn-photo-x4": _SRCNN.but(crop=48, symmetry="dihedral", validation=32),
    "srresnet-cifar10-x4": _SRRESNET,
    "srgan-cifar10-x4": _SRRESNET.but(
        model="SRGAN",
        steps=600,
        # the discriminator's gradient is large: only what would throw it off is clipped
        players={"discriminator": Player(clip=10.0)},
        init="srresnet-cifar10-x4",
    ),
}
