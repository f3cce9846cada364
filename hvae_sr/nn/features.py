"""Features of images by a network that was trained to classify ImageNet."""

from typing import Any

import torch
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, what the network expects


class FeatureNetwork(nn.Module):
    """An EfficientNet-Lite without its head, cut after the last map of each resolution.

    Args:
        network: an `EfficientNet` of the package `efficientnet-lite-pytorch`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        stages = [[network._conv_stem, network._bn0, nn.ReLU6()]]
        for block in network._blocks:
            if block._depthwise_conv.stride[0] > 1:
                stages.append([])
            stages[-1].append(block)
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> the last map before the head, (N, C, H / 32, W / 32)."""
        return self.maps(images, len(self.stages))[-1]

    def maps(self, images: Tensor, count: int) -> list[Tensor]:
        """The first `count` of the last maps at 2, 4, 8, 16 and 32 pixels, each (N, C, h, w).

        Always in float32: a training loop's autocast does not change what is measured.
        """
        with torch.autocast(images.device.type, enabled=False):
            found = [(images.float() - self.mean) / self.std]
            for stage in self.stages[:count]:
                found.append(stage(found[-1]))
        return found[1:]
