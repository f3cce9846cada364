"""Metrics that need a trained network, measured over a data set."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hvae_sr.errors import MetricError
from hvae_sr.evaluation.frechet import GaussianFit, frechet_distance
from hvae_sr.evaluation.networks import PAIRS, SETS
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.noise import seeded
from hvae_sr.nn.resize import quantise

REFERENCES = 10_000  # images that unconditional samples are compared with, at most
BATCH = 100  # images at a time


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
        generator = seeded(seed)
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
