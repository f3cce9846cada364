"""The study's convolutional network, which upscales in steps of two.

Inspired by SRCNN: Chao Dong, Chen Change Loy, Kaiming He, Xiaoou Tang, "Image Super-Resolution
Using Deep Convolutional Networks", IEEE TPAMI 38(2), 2016 (arXiv:1501.00092).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.models.arguments import Channels, DegradationConfig, Depth
from hvae_sr.models.base import SuperResolutionModel, factors
from hvae_sr.nn.layers import CellKind, conv3x3, depth_to_space, residuals, scaled, upsample
from hvae_sr.nn.resize import checked_enlargement, enlarge


class StudyCNN(SuperResolutionModel):
    """Patch extraction, non-linear mapping, upscaling in steps, reconstruction.

    SRCNN's three operations, on LR pixels rather than on an interpolated image (cheaper by
    scale^2, as FSRCNN and ESPCN showed) and on all three colours; the mapping is a stack of
    residual cells, and the output is added to bicubic. `SRCNN` is the paper's own network.

    Args:
        scale: 2, 3 or 4 (x4 is x2 twice).
        widths: channels at LR resolution and after each upscaling step, coarse to fine.
        blocks: residual cells at each of these resolutions.
        cell: kind of cell, see `hvae_sr.nn.layers.cell`.
        degradation: name of the degradation the weights are for.
        enlargement: interpolation that the network's output is added to, see
            `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[Channels] = [64, 64],  # noqa: B006
        blocks: list[Depth] = [4, 1],  # noqa: B006
        cell: str = "plain",
        degradation: DegradationConfig = "gaussian",
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        steps = factors(scale)
        if len(widths) != len(blocks) or not 1 <= len(widths) <= len(steps) + 1:
            raise ValueError(
                f"widths and blocks need one entry for each of 1 to {len(steps) + 1} levels at "
                f"x{scale}, not {len(widths)} and {len(blocks)}"
            )
        tail = steps[len(widths) - 1 :]
        self.extract = conv3x3(3, widths[0])
        self.map = nn.ModuleList(
            residuals(CellKind(cell), w, b) for w, b in zip(widths, blocks, strict=True)
        )
        self.finer = nn.ModuleList(
            upsample(coarse, fine, factor)
            for coarse, fine, factor in zip(widths, widths[1:], steps, strict=False)
        )
        factor = 1
        for step in tail:
            factor *= step
        self.reconstruct = nn.Sequential(
            nn.SiLU(), scaled(conv3x3(widths[-1], 3 * factor**2), 0.1), depth_to_space(factor)
        )

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the expected HR (N, 3, h * scale, w * scale)."""
        features = self.map[0](self.extract(2 * lr - 1))
        for finer, mapping in zip(self.finer, self.map[1:], strict=True):
            features = mapping(finer(features))
        return enlarge(lr, self.scale, self.enlargement) + self.reconstruct(features)

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Mean squared error, as SRCNN has it (eq. 4)."""
        error = F.mse_loss(self(lr), hr)
        return {"loss": error, "psnr": -10 * error.detach().log10()}
