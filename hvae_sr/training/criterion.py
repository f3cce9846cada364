"""What a training step computes: the model's loss, or one on pixels and features."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hvae_sr.errors import TrainingError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.layers import Cell, Residual
from hvae_sr.training import data


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


def load_features(weights: Path, device: torch.device) -> nn.Module:
    """The loss on features.

    Raises:
        TrainingError: when the network's package or its weights are missing.
    """
    from hvae_sr.training import feature_loss

    try:
        return feature_loss.load(weights).to(device)
    except TrainingError:
        raise
    except (ModuleNotFoundError, OSError, ValueError, KeyError, RuntimeError) as error:
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
