"""What a run writes beside its checkpoints: the facts of a model card, and a grid of images."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import hvae_sr
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.training import data
from hvae_sr.training.setup import hardware

if TYPE_CHECKING:
    from hvae_sr.training.loop import Trainer

SAMPLES = 8  # validation images drawn into each grid


def facts(run: "Trainer") -> dict[str, Any]:
    """What a model card says about the training that really happened."""
    return {
        "command": run.command,
        "recipe": asdict(run.recipe),
        "data": run.described,
        "initialised_from": run.taken,
        "base_model": run.recipe.base_model,
        "validation": len(run.held_out.hr),
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
