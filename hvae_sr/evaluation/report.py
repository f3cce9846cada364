"""One evaluator for every model: the numbers of a card, as JSON and as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hvae_sr.errors import DataError, ModelError
from hvae_sr.evaluation import learned, texture
from hvae_sr.evaluation.baselines import LinearMMSE, field_bicubic, interpolations
from hvae_sr.evaluation.bounds import measure
from hvae_sr.evaluation.metrics import SPACES, Scores, score
from hvae_sr.imaging.files import is_image, open_image
from hvae_sr.imaging.pixels import split
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.storage.serialization import fingerprint
from hvae_sr.training import data
from hvae_sr.training.setup import hardware

SAMPLES = {"rgb": 16, "y": 8}  # draws behind "mean of N", for thumbnails and photographs
CROP = 128  # side of the centre crops on which the bits of photographs are measured
WINDOW = 11  # side of the window of SSIM
FLAT = 1e-10  # power of detail, below which a set of pictures has none
SHARPNESS = (
    "Sharpness: the energy above the Nyquist frequency of the LR picture, as a share of the "
    "original's."
)
TITLES = {"set5": "Set5", "set14": "Set14", "bsd100": "BSD100", "urban100": "Urban100"}


@dataclass(frozen=True)
class References:
    """HR pictures to score against, and by which convention.

    Args:
        batches: each (N, 3, H, W), or (N, 1, H, W) for grey pictures; uint8, or float in [0, 1].
        name: where they come from.
        space: `rgb` for thumbnails, `y` for photographs, see `hvae_sr.evaluation.metrics`.
    """

    batches: list[Tensor]
    name: str
    space: str = "rgb"

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise DataError(f"pictures are scored in {' or '.join(SPACES)}, not {self.space!r}")

    @property
    def count(self) -> int:
        return sum(len(batch) for batch in self.batches)

    def on(self, device: torch.device) -> Iterator[Tensor]:
        """Each batch as float in [0, 1] on a device, one in memory at a time."""
        for batch in self.batches:
            values = batch.to(device)
            yield values.float().div(255) if values.dtype == torch.uint8 else values


def load_references(
    source: str,
    scale: int,
    *,
    space: str | None = None,
    limit: int | None = None,
    batch: int = 100,
    root: str | Path = "data",
) -> References:
    """Open pictures to score against.

    Args:
        source: `cifar10` (the test split, by torchvision), a .npy file of uint8 (N, H, W, 3), or
            a folder of images, each cropped to a multiple of the scale. Files and folders are
            looked for where the name says, then in `root`.
        scale: what sizes must be a multiple of.
        space: `rgb` or `y`; left out, folders are photographs (`y`), the others thumbnails.
        limit: only the first so many.
        batch: pictures of equal size per batch.
        root: where torchvision keeps CIFAR-10, and folders of pictures may lie.

    Raises:
        DataError: when the source cannot be used.
        ImageError: when a picture cannot be read.
    """
    if source == "cifar10":
        pixels = cropped(data.cifar10(root, train=False)[:limit], scale)
        return References(list(pixels.split(batch)), "CIFAR-10 test", space or "rgb")
    path = next((p for p in (Path(source), Path(root) / source) if p.exists()), Path(source))
    if path.suffix == ".npy":
        pixels = cropped(data.load_array(path)[:limit], scale)
        return References(list(pixels.split(batch)), path.name, space or "rgb")
    if not path.is_dir():
        raise DataError(
            f"{source!r} is neither there nor in {root}: give cifar10, a .npy file or a folder of "
            "pictures"
        )
    files = sorted(file for file in path.rglob("*") if is_image(file))[:limit]
    if not files:
        raise DataError(f"{path} holds no picture")
    name = path.resolve().name
    return References(
        [cropped(_read(file), scale).unsqueeze(0) for file in files],
        TITLES.get(name, name),
        space or "y",
    )


def _read(file: Path) -> Tensor:
    """A picture file as uint8 (3, H, W), or (1, H, W) when it is stored as greyscale."""
    rgb, rest = split(open_image(file))
    pixels = rgb[0].mul(255).round().byte()
    return pixels[:1] if rest.grey else pixels


def cropped(pixels: Tensor, scale: int) -> Tensor:
    """Pictures (..., H, W) without the last rows and columns that make no multiple of the scale.

    Raises:
        DataError: when nothing would be left.
    """
    height, width = pixels.shape[-2:]
    if height < scale or width < scale:
        raise DataError(f"a {width}x{height} picture is too small to be shrunk by {scale}")
    return pixels[..., : height - height % scale, : width - width % scale]


def evaluate(
    model: SuperResolutionModel,
    references: References,
    *,
    training: Tensor | None = None,
    samples: int | None = None,
    draws: int = 1,
    seed: int = 0,
    metrics: Sequence[str] = (),
    prior_samples: int = 0,
) -> dict[str, Any]:
    """Score a model beside the classic baselines; see `markdown` for what is in the result.

    Args:
        model: any model with an LR input.
        references: HR images, never used for training or selection.
        training: uint8 training pictures (N, 3, H, W) for the linear-MMSE line.
        samples: draws at T = 1 behind the mean and the deviation, at least 2; left out, 16 for
            thumbnails and 8 for photographs.
        draws: posterior draws of the importance-weighted bound.
        seed: of all draws.
        metrics: names in `hvae_sr.evaluation.learned`, which need trained networks.
        prior_samples: how many samples of p(x) to compare with the references, and with training
            pictures where these are few; 0 draws none.

    Raises:
        DataError: for pictures too small to be scored.
        MetricError: when a metric's network, weights or images are not there.
        ModelError: for samples of p(x) of a model that has none.
        ValueError: when the model has no LR input to upscale, or for fewer than 2 samples.
    """
    if model.degradation is None:
        raise ValueError("a model of LR pictures is evaluated as part of the model it belongs to")
    samples = SAMPLES[references.space] if samples is None else samples
    if samples < 2:
        raise ValueError(f"a mean and a deviation need at least 2 samples, not {samples}")
    smallest = min(min(batch.shape[-2:]) for batch in references.batches)
    if references.space == "y" and smallest < WINDOW + 2 * model.scale:
        raise DataError(
            f"{references.name} holds a picture {smallest} pixels wide or high: with a border of "
            f"{model.scale} shaved, SSIM needs {WINDOW + 2 * model.scale}"
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
    totals: dict[str, dict[str, float]] = {}
    figures = texture.SampleFigures(samples)
    shown = tqdm(
        references.on(model.device),
        total=len(references.batches),
        desc=f"scoring {references.name}",
        unit="batch",
    )
    for hr in shown:
        rgb = hr.expand(-1, 3, -1, -1)
        lr = model.degradation(rgb)
        answers = _baselines(lr, model, references.space, linear)
        given, drawn = _answers(model, lr, samples, seed)
        answers |= given
        if drawn is not None:
            figures.add(rgb, given["T = 0"], given["T = 0.8"], drawn)
        if isinstance(model, GenerativeModel) and references.space == "rgb":
            condition = lr if model.is_conditional else None
            answers["reconstruction"] = model.reconstruct(rgb, condition)
        for name, picture in answers.items():
            _add(totals, name, score(picture, hr, lr, model.degradation, references.space))
        panel.add(answers, rgb)
    learned_scores = panel.results()
    count = references.count
    report: dict[str, Any] = {
        "model_class": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights": fingerprint(model),
        "scale": model.scale,
        "degradation": model.degradation.name,
        "data": references.name,
        "space": references.space,
        "pictures": count,
        "seed": seed,
        "hardware": hardware(model.device),
        "scores": {
            name: _means(sums, count) | learned_scores[name] for name, sums in totals.items()
        },
    }
    if isinstance(model, GenerativeModel):
        report["samples"] = samples
        report["draws"] = draws
        report |= figures.result()
        report["bits"] = _bits(model, references, draws, seed)
    return report | prior


def _with_prior(model: SuperResolutionModel) -> GenerativeModel:
    if not isinstance(model, GenerativeModel):
        raise ModelError(f"a {type(model).__name__} has no p(x) to draw samples from")
    return model


def _real(
    references: References, training: Tensor | None, device: torch.device
) -> Iterator[Tensor]:
    """The references, then training pictures: batches (N, 3, H, W) in [0, 1] on a device."""
    more = References([] if training is None else list(training.split(100)), "training pictures")
    for batch in chain(references.on(device), more.on(device)):
        yield batch.expand(-1, 3, -1, -1)


def evaluate_all(
    model: SuperResolutionModel, references: list[References], **options: Any
) -> dict[str, Any]:
    """What `results.json` holds: the report of one data set, or `sets` with one report for each.

    Args:
        options: see `evaluate`.

    Raises:
        DataError: when two data sets have the same name, or pictures are too small.
    """
    names = [each.name for each in references]
    if len(set(names)) < len(names):
        raise DataError(f"two data sets have the same name: rename one of {', '.join(names)}")
    reports = {each.name: evaluate(model, each, **options) for each in references}
    return {"sets": reports} if len(reports) > 1 else reports[names[0]]


@torch.inference_mode()
def _baselines(
    lr: Tensor, model: SuperResolutionModel, space: str, linear: LinearMMSE | None
) -> dict[str, Tensor]:
    """What the model is compared with: each (N, 3, H, W)."""
    assert model.degradation is not None
    if space == "y":
        return field_bicubic(lr, model.degradation)
    answers = interpolations(lr, model.degradation)
    size = (3, lr.shape[-2] * model.scale, lr.shape[-1] * model.scale)
    if linear is not None and size == linear.shape:
        answers["linear MMSE"] = linear(lr)
    return answers


@torch.inference_mode()
def _answers(
    model: SuperResolutionModel, lr: Tensor, count: int, seed: int
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Every named answer (N, 3, H, W), and the samples at T = 1 (N, count, 3, H, W), if any.

    The T = 1 answer is the first of the samples behind the mean: nothing is drawn twice.
    """
    best = model.upscale(lr)
    if not isinstance(model, GenerativeModel):
        return {"model": best, "model, projected": _projected(model, best, lr)}, None
    samples = model.upscale(lr, num_samples=count, temperature=1.0, seed=seed)
    plausible = model.upscale(lr, num_samples=1, temperature=0.8, seed=seed)[:, 0]
    mean = samples.mean(dim=1)
    answers = {
        "T = 0": best,
        "T = 0.8": plausible,
        "T = 1": samples[:, 0],
        f"mean of {count}": mean,
        "T = 0, projected": _projected(model, best, lr),
        "T = 0.8, projected": _projected(model, plausible, lr),
        f"mean of {count}, projected": _projected(model, mean, lr),
    }
    return answers, samples


@torch.inference_mode()
def _projected(model: SuperResolutionModel, answer: Tensor, lr: Tensor) -> Tensor:
    assert model.degradation is not None
    return model.degradation.project(answer, lr)


def _add(totals: dict[str, dict[str, float]], name: str, scores: Scores) -> None:
    sums = totals.setdefault(name, {})
    for key, values in vars(scores).items():
        sums[key] = sums.get(key, 0.0) + float(values.double().sum())


def _means(sums: dict[str, float], count: int) -> dict[str, float]:
    """Means over pictures; sharpness is a ratio of sums, so that flat pictures do no harm."""
    means = {key: value / count for key, value in sums.items()}
    detail, reference = means.pop("detail"), means.pop("reference_detail")
    return means | ({"sharpness": detail / reference} if reference > FLAT else {})


def _bits(
    model: GenerativeModel, references: References, draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Bits of x given y (or of x), of y where the model has p(y), and their sum over x.

    A joint model has one figure, of x: its bound is of x and y together, and y follows from x.

    Of photographs the centre is taken: the encoder needs an HR picture's worth of features.
    """
    assert model.degradation is not None
    crop = CROP if references.space == "y" else None
    every = [
        _centre(hr.expand(-1, 3, -1, -1), crop, model.reduction)
        for hr in references.on(model.device)
    ]
    pairs = [(hr, model.degradation(hr) if model.is_conditional else None) for hr in every]
    name = "x given y" if model.is_conditional and not model.is_joint else "x"
    shown = tqdm(pairs, desc=f"bits of {name}", unit="batch")
    bits = {name: asdict(measure(model, shown, draws=draws, seed=seed))}
    if model.lr_prior is not None and not model.is_joint:
        small: list[tuple[Tensor, Tensor | None]] = [
            (lr, None) for _, lr in pairs if lr is not None and _fits(model.lr_prior, lr)
        ]
        if small:
            shown = tqdm(small, desc="bits of y", unit="batch")
            bits["y"] = asdict(measure(model.lr_prior, shown, draws=draws, seed=seed))
            share = 1 / model.scale**2
            bits["x"] = {
                key: bits[name][key] + share * bits["y"][key]
                for key in ("total", "importance_weighted")
                if bits[name][key] is not None
            }
    return bits


def _centre(hr: Tensor, crop: int | None, multiple: int) -> Tensor:
    """The middle of images, at most `crop` pixels a side and a multiple of what levels need."""
    if crop is None:
        return hr
    height, width = (min(crop, side) // multiple * multiple for side in hr.shape[-2:])
    top, left = (hr.shape[-2] - height) // 2, (hr.shape[-1] - width) // 2
    return hr[..., top : top + height, left : left + width]


def _fits(model: GenerativeModel, picture: Tensor) -> bool:
    return all(side % model.reduction == 0 for side in picture.shape[-2:])


def by_set(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The reports in a `results.json` by the name of their data set."""
    sets: dict[str, dict[str, Any]] = results.get("sets", {results.get("data"): results})
    return sets


def markdown(results: dict[str, Any]) -> str:
    """Results of `evaluate` or `evaluate_all` as Markdown, for each data set: scores, then bits."""
    if "sets" not in results:
        return _section(results)
    return "\n".join(
        f"### {name}\n\n{_section(report)}" for name, report in results["sets"].items()
    )


def space_of(report: dict[str, Any]) -> str:
    """`rgb` or `y`; the first reports were all RGB and did not say so."""
    return str(report.get("space", "rgb"))


def _section(report: dict[str, Any]) -> str:
    photographs = space_of(report) == "y"
    columns = [("PSNR (dB)", "psnr", ".2f"), ("SSIM", "ssim", ".4f")]
    columns += [("LR-PSNR (dB)", "lr_psnr", ".1f")]
    columns += [] if photographs else [("MSE", "mse", ".4f")]
    sharp = any("sharpness" in scores for scores in report["scores"].values())
    columns += [("sharpness", "sharpness", ".2f")] if sharp else []
    columns += learned.columns(report)
    lines = [
        f"x{report['scale']}, degradation `{report['degradation']}`, {report['pictures']:,} "
        f"pictures of {report['data']}; {convention(report)}, averaged per picture."
        + (f" {SHARPNESS}" if sharp else ""),
        "",
        f"| picture | {' | '.join(title for title, _, _ in columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, scores in report["scores"].items():
        cells = [f"{scores[key]:{digits}}" if key in scores else "" for _, key, digits in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if "bits" not in report:
        return "\n".join(lines) + "\n"
    crops = f", {CROP}x{CROP} centre crops" if photographs else ""
    lines += [
        "",
        f"Per-pixel standard deviation of T = 1 samples: {report['sample_deviation']:.1f} of 255.",
        *texture.markdown(report),
        *learned.markdown(report),
        "",
        f"| bits per colour value{crops} | total = distortion + rate | importance-weighted "
        "| rates |",
        "|---|---|---|---|",
    ]
    return "\n".join(lines + [_bits_row(*item) for item in report["bits"].items()]) + "\n"


def convention(report: dict[str, Any]) -> str:
    """How pictures were compared, in words."""
    if space_of(report) == "rgb":
        return "RGB, rounded to 8 bits"
    return (
        f"Y of BT.601 (16 to 235), a border of {report['scale']} pixels shaved, grey files on "
        "their grey values, rounded to 8 bits, SSIM where its window fits, LR-PSNR on RGB"
    )


def _bits_row(name: str, bits: dict[str, Any]) -> str:
    bound = bits.get("importance_weighted")
    if "distortion" not in bits:
        both = f" {bound:.2f} " if bound is not None else " "
        return f"| of {name}, both parts | {bits['total']:.2f} |{both}| |"
    shown = f"{bound:.2f} ({bits['draws']} draws)" if bound is not None else "not measured"
    rates = ", ".join(f"{rate:.3f}" for rate in bits["rates"])
    split = f"{bits['total']:.2f} = {bits['distortion']:.2f} + {bits['rate']:.2f}"
    return f"| of {name} | {split} | {shown} | {rates} |"
