"""What a training run is, as data."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Self

from hvae_sr import checks

TEACHING = 0.8  # share of a run in which a teacher is heard


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

    Raises:
        TypeError, ValueError: for weights that are negative or not finite, and shares above 1.
    """

    beta: float = 1.0
    kl_warmup_start: float = 0.03
    kl_warmup_end: float = 0.3
    beta_start: float = 0.01
    free_bits: float = 0.0
    mse_weight: float = 0.0
    prior_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("beta", "beta_start", "free_bits", "mse_weight", "prior_weight"):
            checks.real(name, getattr(self, name))
        for name in ("kl_warmup_start", "kl_warmup_end"):
            checks.real(name, getattr(self, name), most=1.0)

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

    Raises:
        TypeError, ValueError: for counts below 1, and numbers that are negative or not finite.
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

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "crop", "validation"):
            checks.whole(name, getattr(self, name), 1)
        checks.whole("warmup_steps", self.warmup_steps)
        for name in ("learning_rate", "final", "weight_decay", "clip", "feature_weight"):
            checks.real(name, getattr(self, name))
        for name in ("ema", "target_weight"):
            checks.real(name, getattr(self, name), most=1.0)

    def but(self, arguments: dict[str, Any] | None = None, **fields: Any) -> Self:
        """The same with other arguments of the model beside those it has, and other fields."""
        return replace(self, arguments={**self.arguments, **(arguments or {})}, **fields)

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
