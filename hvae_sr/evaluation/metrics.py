"""PSNR, SSIM, LR-PSNR and detail of pictures rounded to 8 bits, by the field's two conventions.

Thumbnails are compared as RGB, whole. Photographs are compared as the tables of the literature
do it: on Y of BT.601, with a border of `scale` pixels shaved.
"""

from dataclasses import dataclass

import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from hvae_sr.degradations import Degradation
from hvae_sr.nn.colour import luma
from hvae_sr.nn.resize import quantise

SPACES = ("rgb", "y")


@dataclass(frozen=True)
class Scores:
    """Each (N,): PSNR and LR-PSNR in dB, SSIM from -1 to 1, MSE of values in [0, 1].

    `detail` and `reference_detail` are those of the picture and of its reference; the ratio of
    their sums over a data set is its sharpness.
    """

    psnr: Tensor
    ssim: Tensor
    lr_psnr: Tensor
    mse: Tensor
    detail: Tensor
    reference_detail: Tensor


def planes(picture: Tensor, reference: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """What the field compares of a photograph: one plane of each, without its border.

    That plane is Y; of a grey picture, whose reference has one channel, it is the grey value.

    Args:
        picture: (N, 3, H, W) in [0, 1].
        reference: (N, 3, H, W), or (N, 1, H, W) for grey pictures.
        border: pixels shaved from every side.

    Returns:
        two tensors (N, 1, H - 2 * border, W - 2 * border).
    """
    grey = reference.shape[1] == 1
    shown = picture.mean(dim=1, keepdim=True) if grey else luma(picture)
    truth = reference if grey else luma(reference)
    inner = (..., slice(border, -border or None), slice(border, -border or None))
    return shown[inner], truth[inner]


def psnr(picture: Tensor, reference: Tensor) -> Tensor:
    """PSNR of each picture in dB: (N, C, H, W) in [0, 1], twice -> (N,).

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


def valid_ssim(picture: Tensor, reference: Tensor) -> Tensor:
    """SSIM of each plane where the window lies inside it, as in MATLAB and BasicSR -> (N,).

    By scikit-image, whose separable window in double precision is ten times faster than a dense
    one. Planes are (N, 1, H, W) of at least 11 x 11 pixels.
    """
    values = [
        structural_similarity(
            a[0].double().cpu().numpy(),
            b[0].double().cpu().numpy(),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(picture, reference, strict=True)
    ]
    return torch.tensor(values, device=picture.device)


def detail(picture: Tensor, scale: int) -> Tensor:
    """Mean power of pictures above the Nyquist frequency of their LR grid.

    That is where an LR picture says nothing: more than 0.5 / scale cycles per pixel along either
    axis. Pictures are mirrored at their borders, so that a jump from one border to the opposite
    one is not taken for detail.

    Args:
        picture: (N, C, H, W).

    Returns:
        (N,), the mean over colours.
    """
    for axis in (-1, -2):
        picture = torch.cat([picture, picture.flip(axis)], dim=axis)
    power = torch.fft.fft2(picture, norm="forward").abs().square()
    vertical, horizontal = (
        torch.fft.fftfreq(n, d=1 / n, device=picture.device).abs() * 2 * scale > n
        for n in picture.shape[-2:]
    )
    fine = vertical[:, None] | horizontal[None, :]
    return (power * fine).sum(dim=(-2, -1)).mean(dim=1)


def lr_psnr(picture: Tensor, lr: Tensor, degradation: Degradation) -> Tensor:
    """PSNR in dB of pictures (N, 3, H, W), rounded to 8 bits and shrunk without rounding -> (N,).

    Args:
        lr: what they are compared with, (N, 3, H / scale, W / scale).
    """
    return psnr(degradation.linear(quantise(picture)), lr)


def score(
    picture: Tensor, hr: Tensor, lr: Tensor, degradation: Degradation, space: str = "rgb"
) -> Scores:
    """Score pictures (N, 3, H, W) in [0, 1] after rounding them to 8 bits.

    LR-PSNR compares the RGB picture, shrunk again without rounding, with the LR input: an answer
    that is a possible HR version of the input scores at least 45 dB.

    Args:
        hr: (N, 3, H, W), or (N, 1, H, W) for grey photographs.
        lr: (N, 3, H / scale, W / scale).
        space: `rgb`, or `y` for photographs, see `planes`.

    Raises:
        ValueError: for an unknown space.
    """
    if space not in SPACES:
        raise ValueError(f"space must be one of {SPACES}, not {space!r}")
    picture = quantise(picture)
    if space == "rgb":
        shown, truth, similarity = picture, hr.expand_as(picture), ssim
    else:
        shown, truth = planes(picture, hr, degradation.scale)
        similarity = valid_ssim
    return Scores(
        psnr=psnr(shown, truth),
        ssim=similarity(shown, truth),
        lr_psnr=lr_psnr(picture, lr, degradation),
        mse=(shown - truth).square().mean(dim=(1, 2, 3)),
        detail=detail(shown, degradation.scale),
        reference_detail=detail(truth, degradation.scale),
    )
