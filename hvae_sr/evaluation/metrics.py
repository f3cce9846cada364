"""PSNR, SSIM, LR-PSNR and detail of images rounded to 8 bits, by the field's two conventions.

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
WINDOW = 11  # pixels: the side of SSIM's window


@dataclass(frozen=True)
class Scores:
    """Each (N,): PSNR and LR-PSNR in dB, SSIM from -1 to 1, MSE of values in [0, 1].

    LR-PSNR is NaN where the degradation is not linear: nothing can be compared then.
    `detail` and `reference_detail` are those of the image and of its reference; the ratio of
    their sums over a data set is its sharpness.
    """

    psnr: Tensor
    ssim: Tensor
    lr_psnr: Tensor
    mse: Tensor
    detail: Tensor
    reference_detail: Tensor


def planes(image: Tensor, reference: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """What the field compares of a photograph: one plane of each, without its border.

    That plane is Y; of a grey image, whose reference has one channel, it is the grey value.

    Args:
        image: (N, 3, H, W) in [0, 1].
        reference: (N, 3, H, W), or (N, 1, H, W) for grey images.
        border: pixels shaved from every side.

    Returns:
        two tensors (N, 1, H - 2 * border, W - 2 * border).
    """
    grey = reference.shape[1] == 1
    shown = image.mean(dim=1, keepdim=True) if grey else luma(image)
    truth = reference if grey else luma(reference)
    inner = (..., slice(border, -border or None), slice(border, -border or None))
    return shown[inner], truth[inner]


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """PSNR of each image in dB: (N, C, H, W) in [0, 1], twice -> (N,).

    Identical images score 100 dB rather than infinity, so that means stay finite.
    """
    value = peak_signal_noise_ratio(
        image, reference, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    return torch.as_tensor(value).clamp_max(100.0)


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """SSIM of each image (Gaussian window of 11, sigma 1.5, Wang et al. 2004) -> (N,).

    Averaged over all pixels, borders reflected, as torchmetrics does it.
    """
    value = structural_similarity_index_measure(image, reference, data_range=1.0, reduction="none")
    assert isinstance(value, Tensor)
    return value.reshape(len(image))


def valid_ssim(image: Tensor, reference: Tensor) -> Tensor:
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
        for a, b in zip(image, reference, strict=True)
    ]
    return torch.tensor(values, device=image.device)


def detail(image: Tensor, scale: int) -> Tensor:
    """Mean power of images above the Nyquist frequency of their LR grid.

    That is where an LR image says nothing: more than 0.5 / scale cycles per pixel along either
    axis. Images are mirrored at their borders, so that a jump from one border to the opposite
    one is not taken for detail.

    Args:
        image: (N, C, H, W).

    Returns:
        (N,), the mean over colours.
    """
    for axis in (-1, -2):
        image = torch.cat([image, image.flip(axis)], dim=axis)
    power = torch.fft.fft2(image, norm="forward").abs().square()
    vertical, horizontal = (
        torch.fft.fftfreq(n, d=1 / n, device=image.device).abs() * 2 * scale > n
        for n in image.shape[-2:]
    )
    fine = vertical[:, None] | horizontal[None, :]
    return (power * fine).sum(dim=(-2, -1)).mean(dim=1)


def lr_psnr(image: Tensor, lr: Tensor, degradation: Degradation) -> Tensor:
    """PSNR in dB of images (N, 3, H, W), rounded to 8 bits and shrunk without rounding -> (N,).

    Args:
        lr: what they are compared with, (N, 3, H / scale, W / scale).

    Returns:
        (N,), NaN where the degradation is not linear.
    """
    if not degradation.can_project:
        return torch.full((len(image),), torch.nan, device=image.device)
    return psnr(degradation.linear(quantise(image)), lr)


def score(
    image: Tensor, hr: Tensor, lr: Tensor, degradation: Degradation, space: str = "rgb"
) -> Scores:
    """Score images (N, 3, H, W) in [0, 1] after rounding them to 8 bits.

    LR-PSNR compares the RGB image, shrunk again without rounding, with the LR input: an answer
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
    image = quantise(image)
    if space == "rgb":
        shown, truth, similarity = image, hr.expand_as(image), ssim
    else:
        shown, truth = planes(image, hr, degradation.scale)
        similarity = valid_ssim
    return Scores(
        psnr=psnr(shown, truth),
        ssim=similarity(shown, truth),
        lr_psnr=lr_psnr(image, lr, degradation),
        mse=(shown - truth).square().mean(dim=(1, 2, 3)),
        detail=detail(shown, degradation.scale),
        reference_detail=detail(truth, degradation.scale),
    )
