"""One evaluator for every model: the numbers of a card, as JSON and as Markdown."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hvae_sr import data
from hvae_sr.errors import DataError
from hvae_sr.evaluation.baselines import LinearMMSE, interpolations
from hvae_sr.evaluation.bounds import Bits, measure
from hvae_sr.evaluation.metrics import Scores, score
from hvae_sr.generative import GenerativeModel
from hvae_sr.modeling import SuperResolutionModel
from hvae_sr.training.loop import hardware

SAMPLES = 16


@dataclass(frozen=True)
class References:
    """HR pictures to score against, in batches of equal size, and where they come from."""

    batches: list[Tensor]
    name: str

    @property
    def count(self) -> int:
        return sum(len(batch) for batch in self.batches)


def load_references(
    source: str, scale: int, *, limit: int | None = None, batch: int = 100, root: str = "data"
) -> References:
    """Open pictures to score against.

    Args:
        source: `cifar10` (the test split, by torchvision), a .npy file of uint8 (N, H, W, 3), or
            a folder of pictures, each cropped to a multiple of the scale.
        scale: what sizes must be a multiple of.
        limit: only the first so many.
        batch: pictures of equal size per batch.
        root: where torchvision keeps CIFAR-10.

    Raises:
        DataError: when the source cannot be used.
    """
    path = Path(source)
    if source == "cifar10" or path.suffix == ".npy":
        pixels = data.cifar10(root, train=False) if source == "cifar10" else data.load_array(path)
        hr = _cropped(pixels[:limit], scale).float().div(255)
        name = "CIFAR-10 test" if source == "cifar10" else path.name
        return References(list(hr.split(batch)), name)
    if path.is_dir():
        pictures = data.read_folder(path)[:limit]
        return References(
            [_cropped(p, scale).float().div(255).unsqueeze(0) for p in pictures], path.name
        )
    raise DataError(f"{source!r} is not there: give cifar10, a .npy file or a folder of pictures")


def _cropped(pixels: Tensor, scale: int) -> Tensor:
    height, width = pixels.shape[-2:]
    if height < scale or width < scale:
        raise DataError(f"a {width}x{height} picture is too small to be shrunk by {scale}")
    return pixels[..., : height - height % scale, : width - width % scale]


def evaluate(
    model: SuperResolutionModel,
    references: References,
    *,
    training: Tensor | None = None,
    draws: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a model beside the classic baselines; see `markdown` for what is in the result.

    Args:
        model: any model with an LR input.
        references: HR pictures, never used for training or selection.
        training: uint8 training pictures (N, 3, H, W) for the linear-MMSE line.
        draws: posterior draws of the importance-weighted bound.
        seed: of all draws.

    Raises:
        ValueError: when the model has no LR input to upscale.
    """
    if model.degradation is None:
        raise ValueError("a model of LR pictures is evaluated as part of the model it belongs to")
    linear = (
        LinearMMSE(training.float().div(255), model.degradation) if training is not None else None
    )
    totals: dict[str, dict[str, float]] = {}
    deviation = 0.0
    for hr in tqdm(references.batches, desc="scoring", unit="batch"):
        lr = model.degradation(hr)
        answers, spread = _answers(model, hr, lr, linear, seed)
        deviation += spread * len(hr)
        for name, picture in answers:
            _add(totals, name, score(picture, hr, lr, model.degradation), len(hr))
    count = references.count
    report: dict[str, Any] = {
        "model_class": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "scale": model.scale,
        "degradation": model.degradation.name,
        "data": references.name,
        "pictures": count,
        "seed": seed,
        "hardware": hardware(model.device),
        "scores": {
            name: {key: value / count for key, value in values.items()}
            for name, values in totals.items()
        },
    }
    if isinstance(model, GenerativeModel):
        report["sample_deviation"] = 255 * deviation / count
        report["bits"] = _bits(model, references, draws, seed)
    return report


@torch.inference_mode()
def _answers(
    model: SuperResolutionModel,
    hr: Tensor,
    lr: Tensor,
    linear: LinearMMSE | None,
    seed: int,
) -> tuple[list[tuple[str, Tensor]], float]:
    """Every named picture of one batch, and the mean per-pixel deviation of T = 1 samples."""
    assert model.degradation is not None
    answers = list(interpolations(lr, model.degradation).items())
    if linear is not None and hr.shape[1:] == linear.shape:
        answers.append(("linear MMSE", linear(lr)))
    best = model.upscale(lr)
    if not isinstance(model, GenerativeModel):
        answers += [("model", best), ("model, projected", model.upscale(lr, consistent=True))]
        return answers, 0.0
    samples = model.upscale(lr, num_samples=SAMPLES, temperature=1.0, seed=seed)
    plausible = model.upscale(lr, num_samples=1, temperature=0.8, seed=seed)
    mean = samples.mean(dim=1)
    answers += [
        ("T = 0", best),
        ("T = 0.8", plausible[:, 0]),
        ("T = 1", samples[:, 0]),
        (f"mean of {SAMPLES}", mean),
        ("T = 0, projected", model.project(best.unsqueeze(1), lr)[:, 0]),
        ("T = 0.8, projected", model.project(plausible, lr)[:, 0]),
        (f"mean of {SAMPLES}, projected", model.project(mean.unsqueeze(1), lr)[:, 0]),
        ("reconstruction", model.reconstruct(hr, lr if model.conditional else None)),
    ]
    return answers, float(samples.std(dim=1).mean())


def _add(totals: dict[str, dict[str, float]], name: str, scores: Scores, weight: int) -> None:
    sums = totals.setdefault(name, {})
    for key, value in asdict(scores).items():
        sums[key] = sums.get(key, 0.0) + value * weight


def _bits(
    model: GenerativeModel, references: References, draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Bits of x given y (or of x), of y where the model has p(y), and their sum over x."""
    assert model.degradation is not None
    pairs = [
        (hr, model.degradation(hr) if model.conditional else None) for hr in references.batches
    ]
    name = "x given y" if model.conditional else "x"
    bits = {name: asdict(_mean_bits(model, pairs, draws, seed))}
    if model.lr_prior is not None:
        small: list[tuple[Tensor, Tensor | None]] = [
            (lr, None) for _, lr in pairs if lr is not None and _fits(model.lr_prior, lr)
        ]
        if small:
            bits["y"] = asdict(_mean_bits(model.lr_prior, small, draws, seed))
            share = 1 / model.scale**2
            bits["x"] = {"total": bits[name]["total"] + share * bits["y"]["total"]}
    return bits


def _fits(model: GenerativeModel, picture: Tensor) -> bool:
    return all(side % model.reduction == 0 for side in picture.shape[-2:])


def _mean_bits(
    model: GenerativeModel, pairs: list[tuple[Tensor, Tensor | None]], draws: int, seed: int
) -> Bits:
    parts = [
        (len(hr), measure(model, hr, lr, draws=draws, seed=seed))
        for hr, lr in tqdm(pairs, desc="bits", unit="batch")
    ]
    count = sum(weight for weight, _ in parts)

    def mean(values: Iterator[float]) -> float:
        return sum(w * v for (w, _), v in zip(parts, values, strict=True)) / count

    bounds = [bits.importance_weighted for _, bits in parts]
    return Bits(
        total=mean(bits.total for _, bits in parts),
        distortion=mean(bits.distortion for _, bits in parts),
        rate=mean(bits.rate for _, bits in parts),
        rates=[mean(iter(column)) for column in zip(*[b.rates for _, b in parts], strict=True)],
        nats_per_map=[
            mean(iter(column)) for column in zip(*[b.nats_per_map for _, b in parts], strict=True)
        ],
        importance_weighted=mean(b for b in bounds if b is not None) if draws > 1 else None,
        draws=draws,
    )


def markdown(report: dict[str, Any]) -> str:
    """The result of `evaluate` as Markdown: one table of scores, one of bits."""
    lines = [
        f"x{report['scale']}, degradation `{report['degradation']}`, {report['pictures']:,} "
        f"pictures of {report['data']}; RGB, rounded to 8 bits, averaged per picture.",
        "",
        "| picture | PSNR (dB) | SSIM | LR-PSNR (dB) | MSE |",
        "|---|---|---|---|---|",
    ]
    for name, s in report["scores"].items():
        lines.append(
            f"| {name} | {s['psnr']:.2f} | {s['ssim']:.4f} | {s['lr_psnr']:.1f} | {s['mse']:.4f} |"
        )
    if "bits" not in report:
        return "\n".join(lines) + "\n"
    lines += [
        "",
        f"Per-pixel standard deviation of T = 1 samples: {report['sample_deviation']:.1f} of 255.",
        "",
        "| bits per colour value | total = distortion + rate | importance-weighted | rates |",
        "|---|---|---|---|",
    ]
    for name, bits in report["bits"].items():
        if "distortion" not in bits:
            lines.append(f"| of {name}, both parts | {bits['total']:.2f} | | |")
            continue
        bound = bits["importance_weighted"]
        shown = f"{bound:.2f} ({bits['draws']} draws)" if bound is not None else "not measured"
        rates = ", ".join(f"{rate:.3f}" for rate in bits["rates"])
        split = f"{bits['total']:.2f} = {bits['distortion']:.2f} + {bits['rate']:.2f}"
        lines.append(f"| of {name} | {split} | {shown} | {rates} |")
    return "\n".join(lines) + "\n"
