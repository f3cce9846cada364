"""Samples side by side: enlarged for the page, at their own pixels for files."""

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from hvae_sr.imaging.pixels import to_image
from hvae_sr.nn.resize import enlarge

VISIBLE = 128  # pixels a side below which an image is too small to see
GAP = 2  # pixels of the samples


def enlarged(samples: Tensor) -> Tensor:
    """Samples (N, 3, H, W), each pixel as a square where they are too small to see."""
    return enlarge(samples, _factor(samples), "nearest")


def strip(samples: Tensor) -> Image.Image:
    """Samples (N, 3, H, W) in one line, enlarged; the gaps are transparent."""
    opaque = torch.cat([enlarged(samples), enlarged(torch.ones_like(samples[:, :1]))], dim=1)
    gap = GAP * _factor(samples)
    line = make_grid(opaque, nrow=len(samples), padding=gap, pad_value=0.0)
    return to_image(line[:, gap:-gap, gap:-gap])


def grid(samples: Tensor, columns: int) -> Image.Image:
    """Samples (N, 3, H, W) in rows of `columns`, at their own pixels."""
    return to_image(make_grid(samples, nrow=columns, padding=GAP, pad_value=1.0))


def _factor(samples: Tensor) -> int:
    return max(1, VISIBLE // min(samples.shape[-2:]))
