"""The training loop: one function per phase, read from top to bottom."""

import json
import time
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from tqdm.auto import tqdm

from hvae_sr.errors import TrainingError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.training import checkpoints, data, snapshots
from hvae_sr.training.batches import Batches
from hvae_sr.training.criterion import Criterion, compiled, load_features
from hvae_sr.training.ema import EMA
from hvae_sr.training.expansion import expand, merged
from hvae_sr.training.identity import check_unchanged, identity
from hvae_sr.training.meter import Meter
from hvae_sr.training.outliers import Outliers
from hvae_sr.training.recipes import Recipe
from hvae_sr.training.setup import (
    Options,
    build_accelerator,
    build_model,
    build_optimizer,
    check,
    check_fit,
    players_of,
    take_over,
)


class Trainer:
    """One run of a recipe over a set of images.

    Raises:
        TrainingError: when `out` holds another run and `resume` is not asked for.
    """

    def __init__(self, recipe: Recipe, images: data.ImageSet, options: Options, command: str):
        self.recipe, self.options, self.command = recipe, options, command
        check(recipe, options)
        existing = checkpoints.newest(options.out / "checkpoints")
        if existing and not options.resume:
            raise TrainingError(f"{options.out} holds a run: add --resume, or choose another --out")
        if options.resume and not existing:
            raise TrainingError(f"{options.out} holds no checkpoint to resume from")
        self.accelerator = build_accelerator(options)
        set_seed(options.seed)
        self.changed: list[str] = []
        self.identity = identity(recipe, options, images)
        state = checkpoints.read_state(existing) if existing else None
        if state is not None:
            self.changed = check_unchanged(state["identity"], self.identity, options.allow_changes)
        self.model = build_model(recipe)
        self.taken = take_over(self.model, recipe.init) if recipe.init else None
        if recipe.expand:
            expand(self.model)
        if options.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.model = self.model.to(self.device)
        self.batches = Batches(images, recipe, options, self.model, self.device)
        self.players = players_of(self.model, recipe)
        self.optimizer = build_optimizer(list(self.players.values()), recipe)
        check_fit(self.model, options, targets=self.batches.held_out.target is not None)
        self.features = load_features(options.features, self.device) if options.features else None
        criterion: nn.Module = Criterion(self.model, self.features)
        self.criterion, self.optimizer = self.accelerator.prepare(criterion, self.optimizer)
        self.ema = EMA(self.model, recipe.ema)
        self.loss = compiled(self.criterion) if options.compile else self.criterion
        self.step, self.minutes, self.skipped = 0, 0.0, 0
        self.outliers = Outliers(recipe.skip_above, self.device)
        if existing and state is not None:
            checkpoints.restore(self.accelerator, self.ema.model, existing)
            self.step, self.minutes = state["step"], state["minutes"]
            self.ema.updates = self.step
            self.skipped = state["skipped"]
            self.outliers.restore(state["outliers"])

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def run(self) -> SuperResolutionModel:
        """Train to the end or to `max_minutes`; returns the averaged model, saved in `out/model`.

        Raises:
            TrainingError: after many non-finite gradients in a row, or when the disk is full.
        """
        self.accelerator.init_trackers("curves")
        if self.changed:
            self.record({"step": self.step, "changed": self.changed})
        begin, before = time.monotonic(), self.minutes
        limit = self.options.max_minutes
        meter = Meter(self.device)
        bar = tqdm(
            total=None if self.options.anneal_minutes else self.recipe.steps,
            initial=self.step,
            unit="step",
            disable=self.options.quiet or not self.accelerator.is_main_process,
        )
        mark, first = time.monotonic(), self.step
        done = self.progress >= 1
        while not done:
            meter.add(*self.train_step())
            self.step += 1
            bar.update()
            self.minutes = before + (time.monotonic() - begin) / 60
            late = limit is not None and (time.monotonic() - begin) / 60 >= limit
            done = self.progress >= 1
            if self.step % self.options.log_every == 0 or done or late:
                images = (self.step - first) * self.recipe.batch_size
                values, skipped = meter.read()
                self.skipped += skipped
                speed = {"images_per_second": images / (time.monotonic() - mark)}
                self._log({**values, **speed, "skipped": self.skipped}, bar)
                mark, first = time.monotonic(), self.step
            if self.step % self.options.save_every == 0 or done or late:
                self._save()
                mark = time.monotonic()
            if late:
                break
        bar.close()
        self.accelerator.end_training()
        return self.released()

    @property
    def progress(self) -> float:
        """The share of the run that is over, 0 to 1."""
        if self.options.anneal_minutes:
            return min(1.0, self.minutes / self.options.anneal_minutes)
        return self.step / self.recipe.steps

    def train_step(self) -> tuple[dict[str, Tensor], Tensor]:
        """One optimiser step; returns the logged terms and whether the gradient was used.

        A gradient that is not finite, or an outlier, is replaced by zeros, without asking the
        device: momentum carries the weights on for that step.
        """
        recipe, options = self.recipe, self.options
        rate = recipe.learning_rate_at(self.step, self.progress)
        for group, term in zip(self.optimizer.param_groups, self.players, strict=True):
            group["lr"] = rate * recipe.player(term).rate
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        # The step names its noise, so that a resumed run draws what the whole run would have.
        torch.manual_seed(data.generator(options.seed, 5, self.step, rank).initial_seed())
        parts = world * options.accumulate
        size = recipe.batch_size // parts
        sums: dict[str, Tensor] = {}
        for part in range(options.accumulate):
            place = (self.step * options.accumulate + part) * world + rank
            batch = self.batch(place, size)
            with self.accelerator.accumulate(self.criterion), self.accelerator.autocast():
                terms = self.loss(batch, self.weights(self.progress))
                self.accelerator.backward(torch.stack([terms[k] for k in self.players]).sum())
            for key, value in terms.items():
                sums[key] = sums.get(key, 0) + value.detach() / options.accumulate
        norms = self._clip()
        usable = self.outliers.passes(torch.stack(list(norms.values())).norm())
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad = torch.where(usable, parameter.grad, 0.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        for term, norm in norms.items():
            name = "gradient_norm" if term == "loss" else f"{term}_gradient_norm"
            sums[name] = torch.where(usable, norm, 0.0)
        return sums, usable

    def _clip(self) -> dict[str, Tensor]:
        """Clip each player's gradient to its own norm; the norms before, by the players' terms."""
        self.accelerator.unscale_gradients()  # once for all: fp16 refuses a second time
        return {
            term: nn.utils.clip_grad_norm_(parameters, self.recipe.player(term).clip)
            for term, parameters in self.players.items()
        }

    def weights(self, progress: float) -> dict[str, float]:
        """Weights of the loss's terms at a point of the run."""
        if self.features is not None:
            return {"features": self.recipe.feature_weight_at(progress)}
        return self.recipe.loss_arguments(progress)

    def batch(self, place: int, size: int) -> data.Batch:
        """Images in [0, 1] on the device, turned; LR versions that are not given are made."""
        weight = self.recipe.target_weight_at(self.progress)
        return self.batches.training(place, size, weight)

    def _log(self, values: dict[str, float], bar: Any) -> None:
        self.accelerator.log(values, step=self.step)
        shown = ("loss", "bits_per_dim", "psnr", "psnr_prior", "rate")
        bar.set_postfix({key: f"{values[key]:.4g}" for key in shown if key in values})
        self.record({"step": self.step, "minutes": self.minutes, **values})

    def record(self, values: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with (self.options.out / "log.jsonl").open("a") as file:
                file.write(json.dumps(values) + "\n")

    def _save(self) -> None:
        """Checkpoint, then the averaged model as a hub folder, a sample grid and the facts."""
        validation = snapshots.validate(self)
        self._log(validation, tqdm(disable=True))
        state = {
            "minutes": self.minutes,
            "skipped": self.skipped,
            "outliers": self.outliers.state(),
            "identity": self.identity,
        }
        folder = self.options.out / "checkpoints"
        checkpoints.save(self.accelerator, self.ema.model, folder, self.step, state)
        if self.accelerator.is_main_process:
            snapshots.write(self, validation)

    @property
    def average(self) -> SuperResolutionModel:
        """The model with averaged weights."""
        assert isinstance(self.ema.model, SuperResolutionModel)
        return self.ema.model

    def released(self) -> SuperResolutionModel:
        """The averaged model as it is saved: wide convolutions merged."""
        return merged(self.average)
