"""One evaluator for every model: the numbers of a card."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hvae_sr.degradations import Degradation
from hvae_sr.errors import DataError, ModelError
from hvae_sr.evaluation import learned
from hvae_sr.evaluation.baselines import LinearMMSE, interpolations
from hvae_sr.evaluation.bounds import bits_of
from hvae_sr.evaluation.metrics import WINDOW, Scores, score
from hvae_sr.evaluation.references import References
from hvae_sr.evaluation.texture import SampleFigures
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.noise import seeded
from hvae_sr.storage.serialization import fingerprint
from hvae_sr.training.setup import hardware

SAMPLES = {"rgb": 16, "y": 8}  # expected images behind "mean of N", for thumbnails and photographs
CALIBRATION_SAMPLES = {"rgb": 100, "y": 16}  # of x given y, behind calibration
SAMPLE = "sample of x given y"  # the name of an answer
FLAT = 1e-10  # power of detail, below which a set of images has none


def evaluate(
    model: SuperResolutionModel,
    references: References,
    *,
    training: Tensor | None = None,
    samples: int | None = None,
    calibration_samples: int | None = None,
    draws: int = 1,
    seed: int = 0,
    metrics: Sequence[str] = (),
    prior_samples: int = 0,
) -> dict[str, Any]:
    """Score a model beside the classic baselines; `tables.markdown` shows what is in the result.

    Args:
        model: any model with an LR input.
        references: HR images, never used for training or selection.
        training: uint8 training images (N, 3, H, W) for the linear-MMSE line.
        samples: outputs at T = 1 behind the mean, at least 2; left out, 16 for thumbnails and 8 for
            photographs. They are expected images of drawn latents (`decode="mean"`).
        calibration_samples: samples of p(x | y) (`decode="sample"`, T = 1) behind calibration, at
            least 2; left out, 100 for thumbnails and 16 for photographs.
        draws: posterior draws of the importance-weighted bound.
        seed: of all draws, and of degradations that draw.
        metrics: names in `hvae_sr.evaluation.networks`, which need trained networks.
        prior_samples: how many samples of p(x) to compare with the references, and with training
            images where these are few; 0 draws none.

    Raises:
        DataError: for images too small to be scored.
        MetricError: when a metric's network, weights or images are missing.
        ModelError: for samples of p(x) of a model that has none.
        ValueError: when the model has no LR input to upscale, or for fewer than 2 samples.
    """
    if model.degradation is None:
        raise ValueError("a model of LR images is evaluated as part of the model it belongs to")
    _check_sizes(references, model.scale)
    samples = _at_least_two(samples, SAMPLES[references.space])
    figures = SampleFigures(
        _at_least_two(calibration_samples, CALIBRATION_SAMPLES[references.space])
    )
    linear = (
        LinearMMSE(training.float().div(255), model.degradation) if training is not None else None
    )
    panel = learned.Panel(metrics, model.device, references.count, references.name)
    prior: dict[str, Any] = {}
    if prior_samples:
        prior["prior_samples"] = panel.of_samples(
            _with_prior(model), prior_samples, _real(references, training, model.device), seed
        )
    totals = Totals()
    for hr, lr in _pairs(model, references, seed, f"scoring {references.name}"):
        rgb = hr.expand(-1, 3, -1, -1)
        answers = _baselines(lr, model.degradation, references.space, linear)
        if isinstance(model, GenerativeModel):
            answers |= _generative_answers(model, rgb, lr, samples, seed, figures)
            if references.space == "rgb":
                condition = lr if model.is_conditional else None
                answers["reconstruction"] = model.reconstruct(rgb, condition)
        else:
            answers |= _with_projected({"model": model.upscale(lr)}, lr, model.degradation)
        for name, answer in answers.items():
            totals.add(name, score(answer, hr, lr, model.degradation, references.space))
        panel.add(answers, rgb)
    report = _facts(model, references, seed)
    learned_scores = panel.results()
    report["scores"] = {
        name: scores | learned_scores[name] for name, scores in totals.means().items()
    }
    if isinstance(model, GenerativeModel):
        report |= {"samples": samples, "draws": draws, **figures.result()}
        report["bits"] = bits_of(model, references, draws=draws, seed=seed)
    return report | prior


def evaluate_all(
    model: SuperResolutionModel, references: list[References], **options: Any
) -> dict[str, Any]:
    """What `results.json` holds: the report of one data set, or `sets` with one report for each.

    Args:
        options: see `evaluate`.

    Raises:
        DataError: when two data sets have the same name, or images are too small.
    """
    names = [each.name for each in references]
    if len(set(names)) < len(names):
        raise DataError(f"two data sets have the same name: rename one of {', '.join(names)}")
    reports = {each.name: evaluate(model, each, **options) for each in references}
    return {"sets": reports} if len(reports) > 1 else reports[names[0]]


def _check_sizes(references: References, scale: int) -> None:
    """Refuse photographs that SSIM's window does not fit into."""
    smallest = min(min(batch.shape[-2:]) for batch in references.batches)
    if references.space == "y" and smallest < WINDOW + 2 * scale:
        raise DataError(
            f"{references.name} holds an image {smallest} pixels wide or high: with a border of "
            f"{scale} shaved, SSIM needs {WINDOW + 2 * scale}"
        )


def _at_least_two(count: int | None, default: int) -> int:
    count = default if count is None else count
    if count < 2:
        raise ValueError(f"a mean and a deviation need at least 2 samples, not {count}")
    return count


def _facts(model: SuperResolutionModel, references: References, seed: int) -> dict[str, Any]:
    """What was measured, on what."""
    assert model.degradation is not None
    return {
        "model_class": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights": fingerprint(model),
        "scale": model.scale,
        "degradation": model.degradation.name,
        "data": references.name,
        "space": references.space,
        "images": references.count,
        "seed": seed,
        "hardware": hardware(model.device),
    }


def _pairs(
    model: SuperResolutionModel, references: References, seed: int, task: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each batch (N, C, H, W) in [0, 1] and its LR version (N, 3, h, w), with a progress bar."""
    assert model.degradation is not None
    generator = seeded(seed)
    batches = references.on(model.device)
    for hr in tqdm(batches, total=len(references.batches), desc=task, unit="batch"):
        yield hr, model.degradation(hr.expand(-1, 3, -1, -1), generator)


def _with_prior(model: SuperResolutionModel) -> GenerativeModel:
    if not isinstance(model, GenerativeModel):
        raise ModelError(f"a {type(model).__name__} has no p(x) to draw samples from")
    return model


def _real(
    references: References, training: Tensor | None, device: torch.device
) -> Iterator[Tensor]:
    """The references, then training images: batches (N, 3, H, W) in [0, 1] on a device."""
    more = References([] if training is None else list(training.split(100)), "training images")
    for batch in chain(references.on(device), more.on(device)):
        yield batch.expand(-1, 3, -1, -1)


@torch.inference_mode()
def _baselines(
    lr: Tensor, degradation: Degradation, space: str, linear: LinearMMSE | None
) -> dict[str, Tensor]:
    """What the model is compared with: each (N, 3, H, W)."""
    if space == "y":
        return interpolations(lr, degradation, ["bicubic"])
    answers = interpolations(lr, degradation)
    size = (3, lr.shape[-2] * degradation.scale, lr.shape[-1] * degradation.scale)
    if linear is not None and size == linear.shape:
        answers["linear MMSE"] = linear(lr)
    return answers


@torch.inference_mode()
def _generative_answers(
    model: GenerativeModel, rgb: Tensor, lr: Tensor, count: int, seed: int, figures: SampleFigures
) -> dict[str, Tensor]:
    """Every named answer (N, 3, H, W), after telling `figures` of the samples behind them.

    The T = 1 answer is the first of those behind the mean: nothing is drawn twice.
    """
    assert model.degradation is not None
    best = model.upscale(lr)
    expected = model.upscale(lr, num_samples=count, temperature=1.0, seed=seed)
    plausible = model.upscale(lr, num_samples=1, temperature=0.8, seed=seed)[:, 0]
    samples = model.upscale(
        lr, num_samples=figures.count, temperature=1.0, seed=seed, decode="sample"
    )
    outputs = {"T = 0.8": plausible.unsqueeze(1), "T = 1": expected, SAMPLE: samples}
    figures.add(rgb, best, outputs, samples)
    answers = {"T = 0": best, **{name: drawn[:, 0] for name, drawn in outputs.items()}}
    shown = {"T = 0": best, "T = 0.8": plausible, f"mean of {count}": expected.mean(dim=1)}
    return answers | _with_projected(shown, lr, model.degradation)


def _with_projected(
    answers: dict[str, Tensor], lr: Tensor, degradation: Degradation
) -> dict[str, Tensor]:
    """Answers, then the same made consistent with the LR image where the degradation allows it."""
    if not degradation.can_project:
        return answers
    projected = {
        f"{name}, projected": degradation.project(answer, lr) for name, answer in answers.items()
    }
    return answers | projected


class Totals:
    """Sums of scores over images, by the name of the answer."""

    def __init__(self) -> None:
        self.sums: dict[str, dict[str, float]] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, scores: Scores) -> None:
        sums = self.sums.setdefault(name, {})
        for key, values in vars(scores).items():
            sums[key] = sums.get(key, 0.0) + float(values.double().sum())
        self.counts[name] = self.counts.get(name, 0) + len(scores.psnr)

    def means(self) -> dict[str, dict[str, float]]:
        """Means over images; what is not defined, such as LR-PSNR of blind models, is left out."""
        return {name: self._mean(sums, self.counts[name]) for name, sums in self.sums.items()}

    @staticmethod
    def _mean(sums: dict[str, float], count: int) -> dict[str, float]:
        """Sharpness is a ratio of sums, so that flat images do no harm."""
        means = {key: value / count for key, value in sums.items() if math.isfinite(value)}
        detail, reference = means.pop("detail"), means.pop("reference_detail")
        return means | ({"sharpness": detail / reference} if reference > FLAT else {})
