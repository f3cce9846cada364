"""Brightness of RGB images, as the field measures it."""

from torch import Tensor

LUMA = (65.481, 128.553, 24.966)  # of R, G and B in [0, 1] (ITU-R BT.601); Y of black is 16
LUMA_RANGE = sum(LUMA) / 255  # Y of white minus Y of black, 219 / 255


def luma(image: Tensor) -> Tensor:
    """Y of BT.601 as MATLAB's `rgb2ycbcr` has it: (N, 3, H, W) in [0, 1] -> (N, 1, H, W).

    Black is 16 / 255 and white 235 / 255. Y is affine in R, G and B, and their weights sum to
    `LUMA_RANGE`: adding d to each of the three adds d * `LUMA_RANGE` to Y and leaves Cb and Cr.
    """
    weights = image.new_tensor(LUMA).view(1, 3, 1, 1) / 255
    return (image * weights).sum(dim=1, keepdim=True) + 16 / 255
