"""What a run says of itself: its validation, the averaged model, its facts, a grid of images."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import hvae_sr
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.training import data
from hvae_sr.training.batches import VALIDATION
from hvae_sr.training.criterion import Criterion
from hvae_sr.training.setup import hardware

if TYPE_CHECKING:
    from hvae_sr.training.loop import Trainer

SAMPLES = 8  # validation images drawn into each grid


@torch.no_grad()
def validate(run: "Trainer") -> dict[str, float]:
    """Loss terms of the averaged weights on the held-out images, same noise every time."""
    torch.manual_seed(run.options.seed)
    criterion = Criterion(run.average, run.features)
    held_out = run.batches.held_out
    sums: dict[str, Tensor] = {}
    for place, pixels in enumerate(held_out.split(run.recipe.batch_size)):
        batch = run.batches.pair(pixels, VALIDATION + place)
        for key, value in criterion(batch, run.weights(1.0)).items():
            sums[key] = sums.get(key, 0) + value * len(pixels.hr) / len(held_out.hr)
    return {f"validation_{key}": float(value) for key, value in sums.items()}


def write(run: "Trainer", validation: dict[str, float]) -> None:
    """A grid of images into `samples`, and the averaged model with its facts into `model`.

    Args:
        validation: of `validate`.
    """
    from torchvision.utils import save_image

    samples = run.options.out / "samples"
    samples.mkdir(exist_ok=True)
    shown = run.batches.pair(next(run.batches.held_out.split(SAMPLES)), VALIDATION)
    save_image(grid(run.average, shown), samples / f"step-{run.step:08d}.png")
    folder = run.options.out / "model"
    run.released().save_pretrained(folder)
    text = json.dumps(facts(run) | validation, indent=2)
    (folder / "training.json").write_text(text + "\n")


def facts(run: "Trainer") -> dict[str, Any]:
    """What a model card says about the training that really happened."""
    return {
        "command": run.command,
        "recipe": asdict(run.recipe),
        "data": run.batches.described,
        "initialised_from": run.taken,
        "base_model": run.recipe.base_model,
        "validation": len(run.batches.held_out.hr),
        "steps": run.step,
        "images": run.step * run.recipe.batch_size,
        "anneal_minutes": run.options.anneal_minutes,
        "minutes": round(run.minutes, 1),
        "skipped_gradients": run.skipped,
        "seed": run.options.seed,
        "precision": run.options.precision,
        "processes": run.accelerator.num_processes,
        "hardware": hardware(run.device),
        "torch": torch.__version__,
        "hvae_sr": hvae_sr.__version__,
    }


@torch.inference_mode()
def grid(model: SuperResolutionModel, batch: data.Batch) -> Tensor:
    """Held-out images beside what a model makes of them, or unconditional samples.

    Returns:
        One image (3, H, W) in [0, 1], a row each for HR, LR, the best guess and a sample.
    """
    from torchvision.utils import make_grid

    hr, lr, _ = batch
    if lr is None:
        assert isinstance(model, GenerativeModel)
        size = (hr.shape[-2], hr.shape[-1])
        return make_grid(model.sample(len(hr), size=size, seed=0), nrow=len(hr))
    rows = [hr, nn.functional.interpolate(lr, scale_factor=model.scale), model.upscale(lr)]
    if isinstance(model, GenerativeModel):
        rows.append(model.upscale(lr, num_samples=1, temperature=1.0, seed=0)[:, 0])
    return make_grid(torch.cat(rows), nrow=len(hr))
