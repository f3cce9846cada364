"""From a recipe and options to the parts of a run, and what a run refuses."""

import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from hvae_sr.checks import one_of, real, whole
from hvae_sr.errors import TrainingError
from hvae_sr.hub import load
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.registry import MODELS
from hvae_sr.training.recipes import Recipe

PRECISIONS = ("no", "tf32", "bf16", "fp16")


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
        allow_changes: resume although recipe, seed, precision or data are not those that the run
            was begun with.
        log_every, save_every: in steps.
        features: weights of EfficientNet-Lite0 for the recipe's loss on features.
        quiet: show no progress bar.

    Raises:
        TypeError, ValueError: for an unknown precision, counts below 1, times that are not above 0.
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
    allow_changes: bool = False
    log_every: int = 50
    save_every: int = 500
    features: Path | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        whole("seed", self.seed, 0, 2**32 - 1)
        for name in ("accumulate", "log_every", "save_every"):
            whole(name, getattr(self, name), 1)
        if self.max_minutes is not None:
            real("max_minutes", self.max_minutes)
        if self.anneal_minutes is not None:
            real("anneal_minutes", self.anneal_minutes, least=1e-6)


def check(recipe: Recipe, options: Options) -> None:
    """Refuse settings that would fail late or, worse, do nothing."""
    if recipe.batch_size < options.accumulate:
        raise TrainingError(
            f"a batch of {recipe.batch_size} cannot be split into {options.accumulate} parts"
        )


def check_fit(model: SuperResolutionModel, options: Options, *, targets: bool) -> None:
    """Refuse a loss that the model does not have.

    Args:
        targets: whether the data hold a teacher's answers.
    """
    if isinstance(model, GenerativeModel) and targets:
        raise TrainingError("a likelihood is of original images: leave out the targets")
    if isinstance(model, GenerativeModel) and options.features:
        raise TrainingError("a loss on features is for deterministic models")
    if len(model.players()) > 1 and options.features:
        raise TrainingError("a loss on features is for models without a discriminator")


def build_accelerator(options: Options) -> Accelerator:
    """Device, precision, processes and curves of a run."""
    if options.precision == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return Accelerator(
        mixed_precision="no" if options.precision == "tf32" else options.precision,
        gradient_accumulation_steps=options.accumulate,
        log_with="tensorboard",
        project_dir=options.out,
    )


def build_model(recipe: Recipe) -> SuperResolutionModel:
    cls = MODELS.get(recipe.model)
    if recipe.base_model is None:
        return cls(**recipe.arguments)
    if not issubclass(cls, GenerativeModel):
        raise TrainingError(f"a {recipe.model} takes no base model")
    network = load(recipe.base_model)
    model = cls(**{**recipe.arguments, "base_model": network.full_config})
    assert model.base_model is not None
    model.base_model.load_state_dict(network.state_dict())
    return model


def take_over(model: SuperResolutionModel, name: str) -> str:
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


def players_of(model: SuperResolutionModel, recipe: Recipe) -> dict[str, list[nn.Parameter]]:
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


def build_optimizer(players: list[list[nn.Parameter]], recipe: Recipe) -> torch.optim.Optimizer:
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
