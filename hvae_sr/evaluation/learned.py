"""Metrics that need a trained network, each asked for by name.

Two compare an image with its original (`PAIRS`, averaged over images), two compare sets of images
(`SETS`). The network of the feature distance and of the Frechet distance comes with the extra
`metrics`; those of LPIPS, DISTS and FID are downloaded at first use, by torchmetrics and the
libraries it stands on, into the cache of torch.hub.
"""

import http.client
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from hvae_sr.errors import MetricError
from hvae_sr.evaluation.frechet import GaussianFit, frechet_distance
from hvae_sr.evaluation.perceptual import SMALLEST, feature_distance, feature_network
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.resize import quantise

REFERENCES = 10_000  # images that unconditional samples are compared with, at most
BATCH = 100  # images at a time

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


class Panel:
    """The metrics that were asked for, over the answers to a data set.

    Networks are loaded here, so that what is missing is reported before anything is measured.

    Args:
        names: of `PAIRS` and `SETS`.
        device: where networks run.
        count: how many images the data set has.
        source: what the data set is called.

    Raises:
        MetricError: for an unknown name, a network or weights that are missing, or fewer images
            than a Frechet distance needs.
    """

    def __init__(self, names: Sequence[str], device: torch.device, count: int, source: str) -> None:
        for name in names:
            if name not in PAIRS and name not in SETS:
                raise MetricError(
                    f"{name!r} is not a metric: choose from {', '.join([*PAIRS, *SETS])}"
                )
        for name in filter(SETS.__contains__, names):
            SETS[name].enough(count, source)
        self.pairs = {name: PAIRS[name].load(device) for name in names if name in PAIRS}
        self.sets = {name: SETS[name].load(device) for name in names if name in SETS}
        self.count = 0
        self.sums: dict[str, dict[str, float]] = {}
        self.fits: dict[str, dict[str, GaussianFit]] = {}
        self.originals = self._unfitted()

    def _unfitted(self) -> dict[str, GaussianFit]:
        return {name: GaussianFit() for name in self.sets}

    def _fit(self, fits: dict[str, GaussianFit], images: Tensor) -> None:
        for name, features in self.sets.items():
            fits[name].add(features(images))

    @torch.inference_mode()
    def add(self, answers: dict[str, Tensor], hr: Tensor) -> None:
        """Answers (N, 3, H, W) by name, rounded to 8 bits here, and their originals.

        Raises:
            MetricError: for images that a network cannot take.
        """
        for name in self.pairs:
            PAIRS[name].fits(hr)
        self.count += len(hr)
        self._fit(self.originals, hr)
        for answer, images in answers.items():
            rounded = quantise(images)
            sums = self.sums.setdefault(answer, dict.fromkeys(self.pairs, 0.0))
            for name, distance in self.pairs.items():
                sums[name] += float(distance(rounded, hr).double().sum())
            self._fit(self.fits.setdefault(answer, self._unfitted()), rounded)

    def results(self) -> dict[str, dict[str, float]]:
        """The figures of each answer, by the metric's name."""
        return {
            answer: {name: total / self.count for name, total in sums.items()}
            | _distances(self.originals, self.fits[answer])
            for answer, sums in self.sums.items()
        }

    @torch.inference_mode()
    def of_samples(
        self, model: GenerativeModel, count: int, references: Iterable[Tensor], seed: int
    ) -> dict[str, Any]:
        """How far samples of p(x) at temperature 1 are, as a set, from real images.

        Args:
            model: unconditional, or with a p(y).
            count: how many samples.
            references: batches of images of one size (N, 3, H, W) in [0, 1], of which the first
                10,000 are taken.
            seed: of the draws.

        Returns:
            the two counts, and each Frechet distance that was asked for.

        Raises:
            MetricError: when none was asked for, or there are too few images or several sizes.
            ModelError: when the model has no p(x).
        """
        if not self.sets:
            raise MetricError(
                f"samples of p(x) are compared as a set: ask for {' or '.join(SETS)} as well"
            )
        real, drawn, seen = self._unfitted(), self._unfitted(), 0
        sizes = set()
        for batch in references:
            images = batch[: REFERENCES - seen]
            seen += len(images)
            sizes.add((int(images.shape[-2]), int(images.shape[-1])))
            self._fit(real, images)
            if seen == REFERENCES:
                break
        if len(sizes) != 1:
            raise MetricError("samples of p(x) are compared with images of one size only")
        for name in self.sets:
            SETS[name].enough(min(count, seen), "the smaller of the two sets")
        generator = torch.Generator().manual_seed(seed)
        for start in tqdm(range(0, count, BATCH), desc="samples of p(x)", unit="batch"):
            number = min(BATCH, count - start)
            images = model.sample(number, size=next(iter(sizes)), generator=generator)
            self._fit(drawn, quantise(images))
        return {"samples": count, "references": seen, **_distances(real, drawn)}


def _distances(a: dict[str, GaussianFit], b: dict[str, GaussianFit]) -> dict[str, float]:
    return {name: frechet_distance(a[name], b[name]) for name in a}


def options(report: dict[str, Any]) -> str:
    """The options of `hvae-sr evaluate` that make a report's learned metrics again."""
    names = [name for _, name, _ in columns(report)]
    text = "".join(f" --metric {name}" for name in names)
    if "prior_samples" in report:
        text += f" --prior-samples {report['prior_samples']['samples']}"
    return text


def columns(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Title, key and format of each metric that a report's scores hold."""
    found = {name for scores in report["scores"].values() for name in scores}
    return [(metric.title, name, ".4f") for name, metric in PAIRS.items() if name in found] + [
        (metric.title, name, ".2f") for name, metric in SETS.items() if name in found
    ]


def markdown(report: dict[str, Any]) -> list[str]:
    """The lines of a report about samples of p(x); none when they were not measured."""
    if "prior_samples" not in report:
        return []
    found = report["prior_samples"]
    figures = [f"{m.title} {found[name]:.2f}" for name, m in SETS.items() if name in found]
    return [
        "",
        f"{found['samples']:,} samples of p(x) against {found['references']:,} images: "
        f"{', '.join(figures)}.",
    ]
