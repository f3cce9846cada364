"""What a training run is, as data; presets are small updates of each other."""

import math
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Objective:
    """Weights of the ELBO's terms over a run; see `GenerativeModel.loss`.

    Args:
        beta: final weight of the rate.
        kl_warmup_start: share of the run at `beta_start`, in which latents find what to say.
        kl_warmup_end: share of the run by which beta has risen linearly to its final value.
        beta_start: weight of the rate before it rises.
        free_bits: bits per dimension each group may use at no cost.
        mse_weight: weight of the reconstruction's mean squared error.
        prior_weight: weight of the error of the image decoded at temperature 0.
    """

    beta: float = 1.0
    kl_warmup_start: float = 0.03
    kl_warmup_end: float = 0.3
    beta_start: float = 0.01
    free_bits: float = 0.0
    mse_weight: float = 0.0
    prior_weight: float = 0.0

    def at(self, progress: float) -> dict[str, float]:
        """Keyword arguments of `loss` at a point of the run, 0 to 1."""
        length = max(self.kl_warmup_end - self.kl_warmup_start, 1e-9)
        rise = (progress - self.kl_warmup_start) / length
        beta = self.beta_start + (self.beta - self.beta_start) * min(1.0, max(0.0, rise))
        return {
            "beta": beta,
            "free_bits": self.free_bits,
            "mse_weight": self.mse_weight,
            "prior_weight": self.prior_weight,
        }


@dataclass(frozen=True)
class Player:
    """How one player of a model is trained, see `SuperResolutionModel.players`.

    Args:
        clip: largest norm of its gradient.
        rate: its learning rate, in units of the recipe's.
    """

    clip: float
    rate: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A model and how to train it.

    Args:
        model: class name.
        arguments: its constructor's keyword arguments.
        steps: optimiser steps.
        batch_size: images per step, over all processes.
        optimizer: `adamw` or `adamax`.
        learning_rate: after warm-up.
        warmup_steps: steps of linear rise.
        final: share of the learning rate left at the end of the cosine.
        weight_decay: decoupled for AdamW, L2 for Adamax.
        clip: largest gradient norm, of each player that `players` does not name.
        skip_above: steps whose gradient norm is more than so many times its running mean are left
            out, see `hvae_sr.training.outliers`; None takes every step.
        players: settings of those players that need their own, by the term that they minimise.
        ema: decay of the averaged weights; it starts lower and rises to this.
        objective: the ELBO's weights, or None for models with a loss of their own.
        shrink: degradation applied to the images first, for models of LR images.
        crop: side of random crops from folders, in HR pixels.
        symmetry: how images are turned, see `hvae_sr.training.data.augment`.
        validation: images held out.
        expand: train wider convolutions and merge them, see `hvae_sr.training.expansion`.
        base_model: a trained network whose image the means are offsets from; its weights stay
            as they are. See `GenerativeModel`.
        init: a trained model to start from: every tensor of the same name and shape is taken over.
        target_weight: share of a teacher's answer in what is learned at first, where the data bring
            one (`--targets`).
        feature_weight: weight, at the end, of a loss on features of EfficientNet-Lite0 beside the
            mean absolute error, for deterministic models (`--features`); it starts at a quarter.
    """

    model: str
    arguments: dict[str, Any] = field(default_factory=dict)
    steps: int = 10_000
    batch_size: int = 64
    optimizer: str = "adamax"
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    final: float = 0.02
    weight_decay: float = 0.0
    clip: float = 1.0
    skip_above: float | None = None
    players: dict[str, Player] = field(default_factory=dict)
    ema: float = 0.998
    objective: Objective | None = None
    shrink: dict[str, Any] | None = None
    crop: int = 32
    symmetry: str = "mirror"
    validation: int = 2_500
    expand: bool = False
    base_model: str | None = None
    init: str | None = None
    target_weight: float = 0.5
    feature_weight: float = 0.02

    def learning_rate_at(self, step: int, progress: float) -> float:
        """Linear warm-up over the first steps, then a cosine over the run.

        Args:
            step: steps taken.
            progress: share of the run that is over, 0 to 1.
        """
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
        return self.learning_rate * rise * (self.final + (1 - self.final) * cosine)

    def player(self, term: str) -> Player:
        """How the player that minimises a term of the loss is trained."""
        return self.players.get(term, Player(self.clip))

    def loss_arguments(self, progress: float) -> dict[str, float]:
        return self.objective.at(progress) if self.objective else {}

    def target_weight_at(self, progress: float) -> float:
        """The teacher's share of what is learned: falls linearly to nothing, and ends there."""
        return self.target_weight * max(0.0, 1 - progress / TEACHING)

    def feature_weight_at(self, progress: float) -> float:
        return self.feature_weight * (0.25 + 0.75 * progress)


TEACHING = 0.8  # share of a run in which a teacher is heard


_STUDY_CNN = Recipe(
    model="StudyCNN",
    arguments={"scale": 4, "widths": [64, 64], "blocks": [5, 2]},
    steps=5_000,
    optimizer="adamw",
    learning_rate=1e-3,
    clip=0.1,
)

# The paper's network works on HR pixels: small crops, or a step takes seconds on a CPU.
_SRCNN = Recipe(
    model="SRCNN",
    arguments={"scale": 4, "kernels": [9, 5, 5], "filters": [64, 32], "degradation": "bicubic"},
    steps=20_000,
    batch_size=16,
    optimizer="adamw",
    learning_rate=1e-3,
    clip=0.1,
    ema=0.999,
)

_SRRESNET = Recipe(
    model="SRResNet",
    arguments={"scale": 4, "width": 64, "blocks": 6},
    steps=1_500,
    optimizer="adamw",
    learning_rate=1e-3,
    clip=0.1,
)

_HVAE = Recipe(
    model="HVAE",
    arguments={
        "scale": 4,
        "widths": [96, 64],
        "groups": [1, 3],
        "blocks": [1, 2],
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

_BASE = replace(
    _HVAE,
    arguments={
        "scale": 4,
        "widths": [256, 192, 128],
        "groups": [2, 6, 6],
        "blocks": [2, 3, 3],
        "latent": 16,
        "start_blocks": 4,
        "projection_scale": 1.0,
        "mixtures": 10,
    },
    steps=30_000,
    batch_size=128,
    learning_rate=1.5e-3,
    ema=0.999,
)

_LR_PRIOR = replace(
    _HVAE,
    arguments={
        "scale": 1,
        "start": "constant",
        "widths": [64, 64, 64],
        "groups": [1, 2, 3],
        "blocks": [1, 1, 2],
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

_VAE = Recipe(
    model="VAE",
    arguments={"scale": 4, "width": 64, "blocks": 3},
    steps=1_000,
    optimizer="adamw",
    learning_rate=1e-3,
    clip=2.0,
    objective=Objective(kl_warmup_start=0.05, prior_weight=2.0),
)

# The family at one size, for one core: half an hour each. In short runs latents need a larger share
# of the steps to find what to say before the rate bears on them.
_FAMILY = replace(
    _HVAE,
    arguments={
        "scale": 4,
        "widths": [64, 48],
        "groups": [1, 3],
        "blocks": [1, 2],
        "latent": 8,
        "start_blocks": 2,
        "mixtures": 5,
    },
    steps=2_400,
    learning_rate=1.5e-3,
    ema=0.995,
    objective=Objective(kl_warmup_start=0.2, kl_warmup_end=0.6, prior_weight=2.0),
)

# Two groups of a bottom-up and a top-down latent at the finest level, and one latent above them.
_BIVA = replace(
    _FAMILY,
    model="BIVA",
    arguments={
        "scale": 4,
        "widths": [48, 32],
        "groups": [1, 2],
        "blocks": [1, 1],
        "latent": 8,
        "start_blocks": 2,
        "bottleneck": 2,
        "mixtures": 5,
    },
)

# Latents at one resolution, as in the paper's CIFAR-10 model. The spectral regularisation is that
# of its ImageNet-32 model, whose lambda decays.
_NVAE = replace(
    _FAMILY,
    model="NVAE",
    arguments={
        "scale": 4,
        "widths": [48, 48],
        "groups": [0, 4],
        "blocks": [0, 1],
        "latent": 8,
        "start_blocks": 2,
        "finish_blocks": 1,
        "expansion": 3,
        "cell_scale": 1.0,
        "spectral_weight": 0.01,
        "spectral_start": 1.0,
        "mixtures": 5,
    },
)

_LADDER = replace(_FAMILY, model="LadderVAE")
# Of images without an LR input: p(x). No latents at full resolution, or a step takes seconds.
_LADDER_UNCONDITIONAL = replace(
    _LADDER,
    arguments={
        "scale": 1,
        "start": "constant",
        "widths": [64, 64, 48, 24],
        "groups": [1, 2, 3, 0],
        "blocks": [1, 1, 1, 1],
        "latent": 8,
        "mixtures": 5,
    },
    objective=Objective(kl_warmup_start=0.1, kl_warmup_end=0.5),
)

_PHOTO_CNN = Recipe(
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

_EDSR = replace(
    _PHOTO_CNN,
    model="EDSR",
    arguments={"scale": 4, "width": 32, "blocks": 8},
    steps=20_000,
    learning_rate=1e-3,
    expand=False,
)

_PHOTO_HVAE = replace(
    _HVAE,
    arguments={**_HVAE.arguments, "degradation": "bicubic"},
    steps=3_200,
    batch_size=16,
    # photographs are smoother than thumbnails: their latents need longer to find what to say
    objective=Objective(kl_warmup_start=0.2, kl_warmup_end=0.6, prior_weight=2.0),
    crop=64,
    symmetry="dihedral",
    validation=32,
    base_model="photo-cnn-x4",
)

# Latents down to HR resolution, and cells after the last that give its noise a shape. Not trained
# long enough yet to replace the released ones (docs/training-log.md).
_THREE_LEVELS = replace(
    _HVAE,
    arguments={
        **_HVAE.arguments,
        "widths": [128, 64, 32],
        "groups": [1, 4, 2],
        "blocks": [1, 3, 1],
        "finish_blocks": 1,
        "mixtures": 10,
    },
    steps=40_000,
    ema=0.999,
    objective=Objective(kl_warmup_start=0.05, kl_warmup_end=0.3, prior_weight=1.0),
)

PRESETS: dict[str, Recipe] = {
    "study-cnn-cifar10-x4": _STUDY_CNN,
    "study-cnn-cifar10-x4-base": replace(
        _STUDY_CNN,
        arguments={"scale": 4, "widths": [192, 128], "blocks": [8, 4]},
        steps=60_000,
        batch_size=128,
        ema=0.999,
    ),
    "srcnn-955-cifar10-x4": replace(
        _SRCNN, arguments={**_SRCNN.arguments, "degradation": "gaussian"}, batch_size=64
    ),
    "srcnn-photo-x4": replace(_SRCNN, crop=48, symmetry="dihedral", validation=32),
    "srresnet-cifar10-x4": _SRRESNET,
    "srgan-cifar10-x4": replace(
        _SRRESNET,
        model="SRGAN",
        steps=600,
        # the discriminator's gradient is large: only what would throw it off is clipped
        players={"discriminator": Player(clip=10.0)},
        init="srresnet-cifar10-x4",
    ),
    "vae-cifar10-x4": _VAE,
    "vae-study": replace(
        _VAE,
        arguments={
            "scale": 4,
            "width": 64,
            "blocks": 2,
            "prior": "standard",
            "start": "constant",
            "activation": "relu",
            "likelihood": "fixed_gaussian",
            "sigma": 0.01,
            "squash": True,
        },
        steps=400,
        learning_rate=3e-2,
        clip=1e9,
        objective=Objective(beta_start=1.0),
    ),
    "hvae-cifar10-x4": _HVAE,
    # p(x) without an LR image, so that bits/dim compare with the paper's
    "hvae-cifar10": replace(
        _LR_PRIOR,
        arguments={
            **_LR_PRIOR.arguments,
            "widths": [64, 64, 48],
            "groups": [1, 2, 3],
            "blocks": [1, 1, 2],
            "stem": 2,
            "cell": "bottleneck",
        },
        steps=2_400,
        batch_size=32,
        ema=0.995,
        objective=Objective(kl_warmup_start=0.1, kl_warmup_end=0.5),
        shrink=None,
    ),
    # VDVAE's own configuration for CIFAR-10 (39 M parameters), for GPUs
    "hvae-cifar10-paper": replace(
        _HVAE,
        arguments={
            "scale": 1,
            "start": "constant",
            "widths": [384, 384, 384, 384, 384, 384],
            "groups": [1, 0, 3, 6, 11, 22],
            "blocks": [3, 0, 4, 7, 7, 12],
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
    "hvae-cifar10-lr-small": replace(
        _LR_PRIOR,
        arguments={**_LR_PRIOR.arguments, "widths": [48, 48, 48], "groups": [1, 2, 2]},
        steps=1_200,
        ema=0.995,
    ),
    "hvae-cifar10-x4-three-levels": _THREE_LEVELS,
    "hvae-cifar10-x4-base": _BASE,
    "ladder-cifar10-x4": _LADDER,
    # what the merge is compared with
    "ladder-cifar10-x4-bottom-up": replace(
        _LADDER, arguments={**_LADDER.arguments, "merge": "bottom_up"}
    ),
    "ladder-cifar10": _LADDER_UNCONDITIONAL,
    # the usual image version, see tests/test_ladder.py; the warm-up is the paper's tenth of a run
    "ladder-cifar10-paper": replace(
        _LADDER_UNCONDITIONAL,
        arguments={
            "scale": 1,
            "start": "constant",
            "widths": [64, 64, 64, 64, 64],
            "groups": [5, 5, 5, 0, 0],
            "blocks": [4, 4, 4, 1, 4],
            "latent": 32,
            "cell": "plain",
            "mixtures": 10,
        },
        steps=300_000,
        batch_size=64,
        optimizer="adamax",
        learning_rate=3e-4,
        ema=0.9999,
        objective=Objective(kl_warmup_start=0.0, kl_warmup_end=0.1),
    ),
    "nvae-cifar10-x4": _NVAE,
    "nvae-cifar10": replace(
        _NVAE,
        arguments={
            **_NVAE.arguments,
            "scale": 1,
            "start": "constant",
            "widths": [48, 48],
            "groups": [1, 4],
            "blocks": [1, 1],
            "stem": 2,
        },
        steps=1_900,
        objective=Objective(kl_warmup_start=0.1, kl_warmup_end=0.5),
    ),
    # The command that NVAE's authors give for CIFAR-10: 131 M parameters there, 8 GPUs, 400 epochs.
    "nvae-cifar10-paper": replace(
        _NVAE,
        arguments={
            "scale": 1,
            "start": "constant",
            "widths": [256, 128],
            "groups": [30, 0],
            "blocks": [2, 1],
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
        optimizer="adamax",
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
            "scale": 1,
            "start": "constant",
            "widths": [48, 48, 32],
            "groups": [1, 1, 2],
            "blocks": [1, 1, 1],
            "latent": 8,
            "bottleneck": 2,
            "stem": 2,
            "mixtures": 5,
        },
        objective=Objective(kl_warmup_start=0.1, kl_warmup_end=0.5),
    ),
    # the authors' configuration for CIFAR-10, for GPUs: 15 groups, 500 epochs, 2 free nats a latent
    "biva-cifar10-paper": replace(
        _BIVA,
        arguments={
            "scale": 1,
            "start": "constant",
            "widths": [96, 96, 96, 96],
            "groups": [1, 4, 10, 0],
            "blocks": [3, 3, 3, 2],
            "latent": list(range(10, 40, 2)),
            "kernels": [3, 3, 3, 5],
            "latent_kernels": [4, 8, 16, 3],
            "mixtures": 10,
        },
        steps=520_000,
        batch_size=48,
        optimizer="adamax",
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
    # the size of the authors' network, x2, for GPUs; their optimiser, 2,000 epochs, no warm-up
    "srvae-cifar10-paper": replace(
        _FAMILY,
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
        optimizer="adamax",
        learning_rate=2e-3,
        final=0.05,
        ema=0.9999,
        objective=Objective(beta_start=1.0),
    ),
    "photo-cnn-x4": _PHOTO_CNN,
    "photo-cnn-x2": replace(
        _PHOTO_CNN,
        arguments={**_PHOTO_CNN.arguments, "scale": 2},
        steps=20_000,
        crop=64,
        init="photo-cnn-x4",
    ),
    # what photo-cnn-x4 was before GuidedCNN
    "fast-photo-x4": replace(
        _PHOTO_CNN, model="FastCNN", arguments={"scale": 4, "width": 48, "blocks": 6}
    ),
    "edsr-photo-x4": _EDSR,
    # the paper's two sizes, for GPUs: patches of 48 x 48 LR pixels, 300,000 steps
    "edsr-photo-x4-baseline": replace(
        _EDSR,
        arguments={"scale": 4, "width": 64, "blocks": 16},
        steps=300_000,
        learning_rate=1e-4,
        crop=192,
    ),
    "edsr-photo-x4-paper": replace(
        _EDSR,
        arguments={"scale": 4, "width": 256, "blocks": 32, "residual_scaling": 0.1},
        steps=300_000,
        learning_rate=1e-4,
        crop=192,
    ),
    "photo-real-x4": replace(
        _PHOTO_CNN,
        arguments={**_PHOTO_CNN.arguments, "degradation": "blind"},
        steps=10_000,
        learning_rate=1e-3,
        init="photo-cnn-x4",
    ),
    "photo-hvae-x4": _PHOTO_HVAE,
    "photo-hvae-x4-three-levels": replace(
        _PHOTO_HVAE,
        arguments={
            **_PHOTO_HVAE.arguments,
            "widths": [96, 64, 32],
            "groups": [1, 3, 2],
            "blocks": [1, 2, 2],
            "finish_blocks": 3,
        },
        steps=20_000,
        ema=0.999,
        objective=Objective(kl_warmup_start=0.2, kl_warmup_end=0.5, prior_weight=1.0),
    ),
}
