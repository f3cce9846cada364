"""Photographs: the fast networks, EDSR, and the hierarchical VAE upon one of them."""

from dataclasses import replace

from hvae_sr.training.recipes.hierarchies import HVAE, levels
from hvae_sr.training.recipes.recipe import Objective, Recipe

_CNN = Recipe(
    model="GuidedCNN",
    arguments={"scale": 4, "width": 32, "blocks": 6},
    steps=60_000,
    batch_size=16,
    optimizer="adamw",
    learning_rate=2e-3,
    clip=0.5,
    ema=0.999,
    crop=128,
    symmetry="dihedral",
    validation=32,
    expand=True,
)

_EDSR = _CNN.but({"blocks": 8}, model="EDSR", steps=20_000, learning_rate=1e-3, expand=False)
# The paper's two sizes, for GPUs: patches of 48 x 48 LR pixels, 300,000 steps.
_EDSR_AT_PAPER_SCALE = replace(_EDSR, steps=300_000, learning_rate=1e-4, crop=192)

_HVAE = HVAE.but(
    {"degradation": "bicubic"},
    steps=3_200,
    batch_size=16,
    # photographs are smoother than thumbnails: their latents need longer to find what to say
    objective=Objective(kl_warmup_start=0.2, kl_warmup_end=0.6, prior_weight=2.0),
    crop=64,
    symmetry="dihedral",
    validation=32,
    base_model="photo-cnn-x4",
)

PRESETS: dict[str, Recipe] = {
    "photo-cnn-x4": _CNN,
    "photo-cnn-x2": _CNN.but({"scale": 2}, steps=20_000, crop=64, init="photo-cnn-x4"),
    # what photo-cnn-x4 was before GuidedCNN
    "fast-photo-x4": _CNN.but({"width": 48}, model="FastCNN"),
    "edsr-photo-x4": _EDSR,
    "edsr-photo-x4-baseline": _EDSR_AT_PAPER_SCALE.but({"width": 64, "blocks": 16}),
    "edsr-photo-x4-paper": _EDSR_AT_PAPER_SCALE.but(
        {"width": 256, "blocks": 32, "residual_scaling": 0.1}
    ),
    "photo-real-x4": _CNN.but(
        {"degradation": "blind"}, steps=10_000, learning_rate=1e-3, init="photo-cnn-x4"
    ),
    "photo-hvae-x4": _HVAE,
    "photo-hvae-x4-three-levels": _HVAE.but(
        {**levels([96, 64, 32], [1, 3, 2], [1, 2, 2]), "finish_blocks": 3},
        steps=20_000,
        ema=0.999,
        objective=Objective(kl_warmup_start=0.2, kl_warmup_end=0.5, prior_weight=1.0),
    ),
}
