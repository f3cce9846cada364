"""Trained networks that metrics stand on, each loaded when it is asked for by name.

Two compare an image with its original (`PAIRS`, averaged over images), two compare sets of images
(`SETS`). The network of the feature distance and of the Frechet distance comes with the extra
`metrics`; those of LPIPS, DISTS and FID are downloaded at first use, by torchmetrics and the
libraries it stands on, into the cache of torch.hub.
"""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

import torch
from torch import Tensor, nn

from hvae_sr.errors import MetricError
from hvae_sr.evaluation.perceptual import SMALLEST, feature_distance, feature_network

Distance = Callable[[Tensor, Tensor], Tensor]  # images and originals (N, 3, H, W) -> (N,)
Features = Callable[[Tensor], Tensor]  # images (N, 3, H, W) in [0, 1] -> (N, F)


def _downloaded(metric: str, address: str, make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose weights a library downloads when torch.hub's cache does not hold them."""
    try:
        return make().eval()
    # torch.hub raises a RuntimeError when what arrived has another hash.
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise MetricError(
            f"{metric} needs weights that could not be downloaded ({error}): try again with a "
            f"network connection, or put {PurePosixPath(address).name} into "
            f"{torch.hub.get_dir()}/checkpoints"
        ) from error


def _feature_distance(device: torch.device) -> Distance:
    feature_network(device)
    return feature_distance


@cache
def _lpips(device: torch.device) -> Distance:
    """LPIPS on AlexNet, version 0.1, of Zhang et al. 2018."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    from torchvision.models import AlexNet_Weights

    network = _downloaded(
        "LPIPS",
        AlexNet_Weights.DEFAULT.url,
        lambda: LearnedPerceptualImagePatchSimilarity(net_type="alex").net,
    ).to(device)
    return lambda images, originals: network(images, originals, normalize=True).flatten()


@cache
def _dists(device: torch.device) -> Distance:
    """DISTS of Ding et al. 2020. Its torchmetrics class would load the network for each batch."""
    from torchmetrics.functional.image.dists import DISTSNetwork
    from torchvision.models import VGG16_Weights

    network = _downloaded("DISTS", VGG16_Weights.DEFAULT.url, DISTSNetwork).to(device)
    return lambda images, originals: network(images, originals).flatten()


def _lite2(device: torch.device) -> Features:
    """The last map of EfficientNet-Lite2 before its head, averaged over positions: (N, 352)."""
    network = feature_network(device)
    return lambda images: network(images).mean(dim=(2, 3))


@cache
def _inception(device: torch.device) -> Features:
    """Inception-v3 as FID uses it: images rounded to 8 bits and enlarged to 299x299, (N, 2048)."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    except ModuleNotFoundError as error:
        raise MetricError(
            "FID needs torch-fidelity, which is not installed: run pip install 'hvae-sr[metrics]'"
        ) from error
    network = _downloaded(
        "FID", URL_INCEPTION_V3, lambda: FrechetInceptionDistance(feature=2048).inception
    ).to(device)
    return lambda images: network(images.mul(255).round().byte())


@dataclass(frozen=True)
class PairMetric:
    """A distance of an image from its original, averaged over images.

    Args:
        title: its name in tables.
        load: gives the distance on a device.
        smallest: pixels a side that the network needs.
    """

    title: str
    load: Callable[[torch.device], Distance]
    smallest: int = 1

    def fits(self, images: Tensor) -> None:
        """Refuse images (N, 3, H, W) of which the network's deepest map would hold nothing.

        Raises:
            MetricError: naming their size.
        """
        height, width = images.shape[-2:]
        if min(height, width) < self.smallest:
            raise MetricError(
                f"{self.title} needs images of at least {self.smallest} pixels a side, not "
                f"{width}x{height}: leave it out"
            )


@dataclass(frozen=True)
class SetMetric:
    """A Frechet distance of a set of images from another.

    Args:
        title: its name in tables.
        features: how many there are of each image.
        load: gives the features on a device.
    """

    title: str
    features: int
    load: Callable[[torch.device], Features]

    def enough(self, count: int, source: str) -> None:
        """Refuse fewer images than make a covariance that is not singular.

        Raises:
            MetricError: naming what has too few.
        """
        if count <= self.features:
            raise MetricError(
                f"{self.title} fits a Gaussian to {self.features} features and needs more images "
                f"than that, but {source} has {count}: leave it out, or give more images"
            )


PAIRS = {
    "feature-distance": PairMetric("feature distance", _feature_distance, SMALLEST),
    "lpips": PairMetric("LPIPS (AlexNet)", _lpips, 31),
    "dists": PairMetric("DISTS", _dists),
}
SETS = {
    "frechet-distance": SetMetric("Frechet distance (EfficientNet-Lite2)", 352, _lite2),
    "fid": SetMetric("FID", 2048, _inception),
}
