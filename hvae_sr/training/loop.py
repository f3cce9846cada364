"""The training loop: one function per phase, read from top to bottom."""

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from tqdm.auto import tqdm

import hvae_sr
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import DataError, TrainingError
from hvae_sr.hub import load
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.registry import MODELS
from hvae_sr.nn.layers import Cell, Residual
from hvae_sr.training import checkpoints, data
from hvae_sr.training.ema import EMA
from hvae_sr.training.expansion import expand, merged
from hvae_sr.training.recipes import Recipe

PRECISIONS = ("no", "tf32", "bf16", "fp16")
MOST_SKIPS = 50  # non-finite gradients in a row before a run is given up
VALIDATION = 2**31  # first place of the held-out batches, beyond any step
SAMPLES = 8  # validation pictures drawn into each sample grid


@dataclass(frozen=True)
class Options:
    """How a run is carried out, as opposed to what it computes.

    Args:
        out: folder of the run.
        seed: of weights, data order and noise.
        precision: `no`, `bf16` or `fp16` (accelerate's mixed precision), or `tf32` (products of
            float32 in the matrix units of a GPU, with ten bits of mantissa).
        accumulate: batches per optimiser step.
        channels_last, compile: memory layout, and `torch.compile`.
        max_minutes: stop in time, everything saved.
        anneal_minutes: the schedules of learning rate and objective follow the clock instead of the
            steps, and the run ends, annealed, after that many minutes in all. Such a run cannot be
            repeated exactly.
        resume: go on from the newest checkpoint of `out`.
        log_every, save_every: in steps.
        features: weights of EfficientNet-Lite0 for the recipe's loss on features.
        quiet: show no progress bar.
    """

    out: Path
    seed: int = 0
    precision: str = "no"
    accumulate: int = 1
    channels_last: bool = False
    compile: bool = False
    max_minutes: float | None = None
    anneal_minutes: float | None = None
    resume: bool = False
    log_every: int = 50
    save_every: int = 500
    features: Path | None = None
    quiet: bool = False


class Criterion(nn.Module):
    """`model.loss` as a forward pass, which is what distributed wrappers and compilers hook.

    Args:
        model: what is trained.
        features: a loss on features of images, see `hvae_sr.training.feature_loss`. It and the mean
            absolute error then take the place of `model.loss`.
    """

    def __init__(self, model: SuperResolutionModel, features: nn.Module | None = None):
        super().__init__()
        self.model = model
        self.features = features

    def forward(self, batch: data.Batch, weights: dict[str, Any]) -> dict[str, Tensor]:
        hr, lr, _ = batch
        if self.features is not None:
            image = self.model(lr)
            pixels, features = nn.functional.l1_loss(image, hr), self.features(image, hr)
            error = nn.functional.mse_loss(image.detach(), hr)
            return {
                "loss": pixels + weights["features"] * features,
                "features": features.detach(),
                "psnr": -10 * error.log10(),
            }
        if lr is None:
            assert isinstance(self.model, GenerativeModel)
            return self.model.loss(hr, **weights)
        return self.model.loss(hr, lr, **weights)


class Meter:
    """Sums of logged terms over finite steps, kept on the device until they are read."""

    def __init__(self, device: torch.device):
        self.zero = torch.zeros((), device=device)
        self.in_a_row = self.zero
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps, self.skipped = self.zero, self.zero

    def add(self, terms: dict[str, Tensor], finite: Tensor) -> None:
        for key, value in terms.items():
            self.sums[key] = self.sums.get(key, self.zero) + torch.where(finite, value, 0.0)
        self.steps = self.steps + finite
        self.skipped = self.skipped + ~finite
        self.in_a_row = torch.where(finite, 0.0, self.in_a_row + 1)

    def read(self) -> tuple[dict[str, float], int]:
        """Means since the last call, and how many steps were skipped.

        Raises:
            TrainingError: after `MOST_SKIPS` gradients in a row that were not finite.
        """
        if self.in_a_row >= MOST_SKIPS:
            raise TrainingError(
                f"the last {int(self.in_a_row)} gradients were not finite: lower the learning rate "
                "and resume from the last checkpoint"
            )
        steps = max(1.0, float(self.steps))
        means = {key: float(value) / steps for key, value in self.sums.items()}
        skipped = int(self.skipped)
        self._clear()
        return means, skipped


class Trainer:
    """One run of a recipe over a set of pictures.

    Raises:
        TrainingError: when `out` holds another run and `resume` is not asked for.
    """

    def __init__(self, recipe: Recipe, pictures: data.Pictures, options: Options, command: str):
        self.recipe, self.options, self.command = recipe, options, command
        _check(recipe, options)
        existing = checkpoints.newest(options.out / "checkpoints")
        if existing and not options.resume:
            raise TrainingError(f"{options.out} holds a run: add --resume, or choose another --out")
        if options.resume and not existing:
            raise TrainingError(f"{options.out} holds no checkpoint to resume from")
        self.accelerator = Accelerator(
            mixed_precision="no" if options.precision == "tf32" else options.precision,
            gradient_accumulation_steps=options.accumulate,
            log_with="tensorboard",
            project_dir=options.out,
        )
        if options.precision == "tf32":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        set_seed(options.seed)
        self.pictures, self.held_out = data.split(pictures, recipe.validation)
        self.described = self.pictures.describe()
        self.pictures = self.pictures.to(self.device)
        self.model = _model(recipe)
        self.taken = _take_over(self.model, recipe.init) if recipe.init else None
        if recipe.expand:
            expand(self.model)
        if options.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.model = self.model.to(self.device)
        self.shrink = get_degradation(**recipe.shrink) if recipe.shrink else None
        try:
            self._pair(next(self.held_out.split(1)), 0)
        except ValueError as error:
            raise DataError(f"{self.pictures.name}: {error}") from error
        if isinstance(self.model, GenerativeModel) and self.held_out.target is not None:
            raise TrainingError("a likelihood is of original pictures: leave out the targets")
        self.players = _players(self.model, recipe)
        self.optimizer = _optimizer(list(self.players.values()), recipe)
        if isinstance(self.model, GenerativeModel) and options.features:
            raise TrainingError("a loss on features is for deterministic models")
        if len(self.players) > 1 and options.features:
            raise TrainingError("a loss on features is for models without a discriminator")
        self.features = _features(options.features, self.device) if options.features else None
        criterion: nn.Module = Criterion(self.model, self.features)
        self.criterion, self.optimizer = self.accelerator.prepare(criterion, self.optimizer)
        self.ema = EMA(self.model, recipe.ema)
        self.loss = compiled(self.criterion) if options.compile else self.criterion
        self.step, self.minutes, self.skipped = 0, 0.0, 0
        if existing:
            state = checkpoints.restore(self.accelerator, self.ema.model, existing)
            self.step, self.minutes = state["step"], state["minutes"]
            self.ema.updates = self.step
            self.skipped = state["skipped"]

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def run(self) -> SuperResolutionModel:
        """Train to the end or to `max_minutes`; returns the averaged model, saved in `out/model`.

        Raises:
            TrainingError: after many non-finite gradients in a row, or when the disk is full.
        """
        self.accelerator.init_trackers("curves")
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
        return self._released()

    @property
    def progress(self) -> float:
        """The share of the run that is over, 0 to 1."""
        if self.options.anneal_minutes:
            return min(1.0, self.minutes / self.options.anneal_minutes)
        return self.step / self.recipe.steps

    def train_step(self) -> tuple[dict[str, Tensor], Tensor]:
        """One optimiser step; returns the logged terms and whether the gradient was finite.

        A gradient that is not finite is replaced by zeros, without asking the device: momentum
        carries the weights on for that step.
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
                terms = self.loss(batch, self._weights(self.progress))
                self.accelerator.backward(torch.stack([terms[k] for k in self.players]).sum())
            for key, value in terms.items():
                sums[key] = sums.get(key, 0) + value.detach() / options.accumulate
        norms = self._clip()
        finite = torch.stack(list(norms.values())).isfinite().all()
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad = torch.where(finite, parameter.grad, 0.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        for term, norm in norms.items():
            name = "gradient_norm" if term == "loss" else f"{term}_gradient_norm"
            sums[name] = torch.where(finite, norm, 0.0)
        return sums, finite

    def _clip(self) -> dict[str, Tensor]:
        """Clip each player's gradient to its own norm; the norms before, by the players' terms."""
        self.accelerator.unscale_gradients()  # once for all: fp16 refuses a second time
        return {
            term: nn.utils.clip_grad_norm_(parameters, self.recipe.player(term).clip)
            for term, parameters in self.players.items()
        }

    def _weights(self, progress: float) -> dict[str, float]:
        """Weights of the loss's terms at a point of the run."""
        if self.features is not None:
            return {"features": self.recipe.feature_weight_at(progress)}
        return self.recipe.loss_arguments(progress)

    def batch(self, place: int, size: int) -> data.Batch:
        """Pictures in [0, 1] on the device, turned; LR versions that are not given are made."""
        seed = self.options.seed
        batch = self.pictures.batch(seed, place, size)
        batch = batch.map(lambda part: part.to(self.device, non_blocking=True))
        return self._pair(
            batch.map(lambda part: data.augment(part, seed, place, self.recipe.symmetry)),
            place,
            self.recipe.target_weight_at(self.progress),
        )

    def _pair(self, batch: data.Batch, place: int, target_weight: float = 0.0) -> data.Batch:
        """HR and LR in [0, 1]; a teacher's answer is blended into the HR picture by its weight."""
        hr, lr, target = batch.map(lambda part: part.to(self.device).float().div(255))
        if target is not None:
            hr = hr.lerp(target, target_weight)
        if self.options.channels_last:
            hr = hr.contiguous(memory_format=torch.channels_last)
        if lr is not None:
            return data.Batch(hr, lr)
        if self.shrink is not None:
            hr = self.shrink(hr)
        if self.model.degradation is None:
            return data.Batch(hr)
        random = data.generator(self.options.seed, 6, place)
        return data.Batch(hr, self.model.degradation(hr, random))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss terms of the averaged weights on the held-out pictures, same noise every time."""
        torch.manual_seed(self.options.seed)
        criterion = Criterion(self.ema.model, self.features)  # type: ignore[arg-type]
        sums: dict[str, Tensor] = {}
        for place, pixels in enumerate(self.held_out.split(self.recipe.batch_size)):
            batch = self._pair(pixels, VALIDATION + place)
            for key, value in criterion(batch, self._weights(1.0)).items():
                sums[key] = sums.get(key, 0) + value * len(pixels.hr) / len(self.held_out.hr)
        return {f"validation_{key}": float(value) for key, value in sums.items()}

    @torch.inference_mode()
    def _grid(self) -> Tensor:
        """Held-out pictures beside what the averaged model makes of them, or prior samples."""
        from torchvision.utils import make_grid

        model = self.ema.model
        hr, lr, _ = self._pair(next(self.held_out.split(SAMPLES)), VALIDATION)
        if lr is None:
            assert isinstance(model, GenerativeModel)
            size = (hr.shape[-2], hr.shape[-1])
            return make_grid(model.sample(SAMPLES, size=size, seed=0), nrow=SAMPLES)
        assert isinstance(model, SuperResolutionModel)
        rows = [hr, nn.functional.interpolate(lr, scale_factor=model.scale), model.upscale(lr)]
        if isinstance(model, GenerativeModel):
            rows.append(model.upscale(lr, num_samples=1, temperature=1.0, seed=0)[:, 0])
        return make_grid(torch.cat(rows), nrow=SAMPLES)

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
        validation = self.validate()
        self._log(validation, tqdm(disable=True))
        state = {"minutes": self.minutes, "skipped": self.skipped}
        folder = self.options.out / "checkpoints"
        checkpoints.save(self.accelerator, self.ema.model, folder, self.step, state)
        if not self.accelerator.is_main_process:
            return
        from torchvision.utils import save_image

        samples = self.options.out / "samples"
        samples.mkdir(exist_ok=True)
        save_image(self._grid(), samples / f"step-{self.step:08d}.png")
        folder = self.options.out / "model"
        self._released().save_pretrained(folder)
        facts = json.dumps(self.facts() | validation, indent=2)
        (folder / "training.json").write_text(facts + "\n")

    def _released(self) -> SuperResolutionModel:
        """The averaged model as it is saved: wide convolutions merged."""
        assert isinstance(self.ema.model, SuperResolutionModel)
        return merged(self.ema.model)

    def facts(self) -> dict[str, Any]:
        """What a model card says about the training that really happened."""
        return {
            "command": self.command,
            "recipe": asdict(self.recipe),
            "data": self.described,
            "initialised_from": self.taken,
            "regression": self.recipe.regression,
            "validation": len(self.held_out.hr),
            "steps": self.step,
            "images": self.step * self.recipe.batch_size,
            "anneal_minutes": self.options.anneal_minutes,
            "minutes": round(self.minutes, 1),
            "skipped_gradients": self.skipped,
            "seed": self.options.seed,
            "precision": self.options.precision,
            "processes": self.accelerator.num_processes,
            "hardware": hardware(self.device),
            "torch": torch.__version__,
            "hvae_sr": hvae_sr.__version__,
        }


def _features(weights: Path, device: torch.device) -> nn.Module:
    """The loss on features.

    Raises:
        TrainingError: when the network's package or its weights are missing.
    """
    from hvae_sr.training import feature_loss

    try:
        return feature_loss.load(weights).to(device)
    except (ModuleNotFoundError, OSError, ValueError) as error:
        raise TrainingError(f"features need EfficientNet-Lite0: {error}") from error


def compiled(criterion: nn.Module, backend: str = "inductor") -> nn.Module:
    """`criterion`, with `torch.compile` over what repeats in it, or over all of it.

    A deep hierarchy as a whole takes minutes to compile; its cells are of few kinds, each of which
    is compiled once.
    """
    modules = list(criterion.modules())
    parts = [module for module in modules if isinstance(module, Residual | Cell)]
    if not parts:
        return torch.compile(criterion, backend=backend)  # type: ignore[return-value]
    for part in parts:
        part.compile(dynamic=False, backend=backend)
    return criterion


def _model(recipe: Recipe) -> SuperResolutionModel:
    cls = MODELS.get(recipe.model)
    if recipe.regression is None:
        return cls(**recipe.arguments)
    if not issubclass(cls, GenerativeModel):
        raise TrainingError(f"a {recipe.model} has no use for a regression network")
    network = load(recipe.regression)
    model = cls(**recipe.arguments, base_model=network.full_config)
    assert model.base_model is not None
    model.base_model.load_state_dict(network.state_dict())
    return model


def _take_over(model: SuperResolutionModel, name: str) -> str:
    """Start `model` from a trained one: every tensor of the same name and shape.

    Returns:
        What was taken from where, for the model card.

    Raises:
        TrainingError: when no tensor fits.
    """
    trained, state = load(name).state_dict(), model.state_dict()
    fitting = {k: v for k, v in trained.items() if k in state and state[k].shape == v.shape}
    if not fitting:
        raise TrainingError(f"no tensor of {name} fits this model: choose another --init")
    model.load_state_dict({**state, **fitting})
    return f"{name} ({len(fitting)} of {len(state)} tensors)"


def _check(recipe: Recipe, options: Options) -> None:
    """Refuse settings that would fail late or, worse, do nothing."""
    if options.precision not in PRECISIONS:
        raise TrainingError(f"precision must be one of {PRECISIONS}, not {options.precision!r}")
    if options.accumulate < 1 or recipe.batch_size < options.accumulate:
        raise TrainingError(
            f"a batch of {recipe.batch_size} cannot be split into {options.accumulate} parts"
        )
    if recipe.steps < 1 or options.log_every < 1 or options.save_every < 1:
        raise TrainingError("steps, log_every and save_every must be at least 1")


def hardware(device: torch.device) -> str:
    """The machine in words: the GPU's name, or processor and threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    return f"CPU ({name}), {torch.get_num_threads()} threads"


def _players(model: SuperResolutionModel, recipe: Recipe) -> dict[str, list[nn.Parameter]]:
    """The model's players.

    Raises:
        TrainingError: when the recipe names one that the model does not have.
    """
    players = model.players()
    unknown = sorted(recipe.players.keys() - players.keys())
    if unknown:
        raise TrainingError(
            f"the recipe has settings for the player {unknown[0]!r}, but a {recipe.model} trains "
            f"{', '.join(players)}"
        )
    return players


def _optimizer(players: list[list[nn.Parameter]], recipe: Recipe) -> torch.optim.Optimizer:
    """An optimiser with a group for each player.

    Adam treats every number alone, so that a group is what an optimiser of its own would be.
    """
    rate, decay = recipe.learning_rate, recipe.weight_decay
    groups = [{"params": parameters} for parameters in players]
    if recipe.optimizer == "adamw":
        fused = all(parameter.is_cuda for parameters in players for parameter in parameters)
        return torch.optim.AdamW(groups, rate, (0.9, 0.99), weight_decay=decay, fused=fused)
    if recipe.optimizer == "adamax":
        return torch.optim.Adamax(groups, rate, weight_decay=decay)
    raise TrainingError(f"optimizer must be adamw or adamax, not {recipe.optimizer!r}")
