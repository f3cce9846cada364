"""PSNR, SSIM and LR-PSNR on RGB pictures rounded to 8 bits, averaged per picture."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from hvae_sr.degradation import Degradation, quantise


@dataclass(frozen=True)
class Scores:
    """Means over pictures: PSNR and LR-PSNR in dB, SSIM from -1 to 1, MSE of [0, 1] pictures."""

    psnr: float
    ssim: float
    lr_psnr: float
    mse: float


def psnr(picture: Tensor, reference: Tensor) -> Tensor:
    """PSNR of each picture in dB: (N, 3, H, W) in [0, 1], twice -> (N,).

    Identical pictures score 100 dB rather than infinity, so that means stay finite.
    """
    value = peak_signal_noise_ratio(
        picture, reference, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    return torch.as_tensor(value).clamp_max(100.0)


def ssim(picture: Tensor, reference: Tensor) -> Tensor:
    """SSIM of each picture (Gaussian window of 11, sigma 1.5, Wang et al. 2004) -> (N,).

    Averaged over all pixels, borders reflected, as torchmetrics does it.
    """
    value = structural_similarity_index_measure(
        picture, reference, data_range=1.0, reduction="none"
    )
    assert isinstance(value, Tensor)
    return value.reshape(len(picture))


def score(picture: Tensor, hr: Tensor, lr: Tensor, degradation: Degradation) -> Scores:
    """Score pictures (N, 3, H, W) in [0, 1] after rounding them to 8 bits.

    LR-PSNR compares the picture, shrunk again without rounding, with the LR input: an answer
    that is a possible HR version of the input scores at least 45 dB.
    """
    picture = quantise(picture)
    return Scores(
        psnr=float(psnr(picture, hr).mean()),
        ssim=float(ssim(picture, hr).mean()),
        lr_psnr=float(psnr(degradation.linear(picture), lr).mean()),
        mse=float((picture - hr).square().mean()),
    )
