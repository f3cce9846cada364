"""What every model is compared with: interpolation, back-projection, and linear MMSE."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvae_sr.degradations import Degradation
from hvae_sr.nn.resize import enlarge


class LinearMMSE:
    """The best affine map from all values of a small LR image to its HR image.

    Solved by least squares on training images; a network below it has a bug.

    Args:
        hr: training images (N, 3, H, W) in [0, 1].
        degradation: makes their LR versions.
        batch: images per accumulation step.
    """

    def __init__(self, hr: Tensor, degradation: Degradation, batch: int = 2_000):
        lr_size = 3 * (hr.shape[-2] // degradation.scale) * (hr.shape[-1] // degradation.scale) + 1
        gram = torch.zeros(lr_size, lr_size, dtype=torch.float64)
        cross = torch.zeros(lr_size, hr[0].numel(), dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)  # of degradations that draw
        for part in hr.split(batch):
            features = _affine(degradation(part, generator))
            gram += features.T @ features
            cross += features.T @ part.flatten(1).double()
        ridge = 1e-6 * gram.diagonal().mean() * torch.eye(lr_size, dtype=torch.float64)
        self.weights = torch.linalg.solve(gram + ridge, cross)
        self.shape = hr.shape[1:]

    def __call__(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) of the training size -> HR (N, 3, H, W) in [0, 1]."""
        return (
            (_affine(lr) @ self.weights.to(lr.device)).float().unflatten(1, self.shape).clamp(0, 1)
        )


def interpolations(
    lr: Tensor,
    degradation: Degradation,
    modes: Sequence[str] = ("nearest", "bilinear", "bicubic"),
) -> dict[str, Tensor]:
    """Interpolated images, and bicubic made LR-consistent where the degradation is linear.

    Args:
        lr: (N, 3, h, w) in [0, 1].
        modes: of `enlarge`, `bicubic` among them.

    Returns:
        name -> (N, 3, h * scale, w * scale) in [0, 1].
    """
    images = {mode: enlarge(lr, degradation.scale, mode).clamp(0, 1) for mode in modes}
    if degradation.can_project:
        images["bicubic, projected"] = degradation.project(images["bicubic"], lr)
    return images


def _affine(lr: Tensor) -> Tensor:
    flat = lr.flatten(1).double()
    return torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1)
