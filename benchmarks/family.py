"""Compare all bundled thumbnail models on one page: cost, likelihood, images, latents.

    python -m benchmarks family --data cifar10 --train-data cifar10 --out docs/family.md

Figures that were measured before, of the same weights on the same images, are read from the
`results.json` beside the weights; all others are measured and written there, one model after
another, so that a stopped run goes on where it was. Speed is measured anew every time, of all
models in one process.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import MODEL_CARDS, ROOT, parser
from benchmarks.speed import median_seconds
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import ModelError
from hvae_sr.evaluation import cards, report
from hvae_sr.evaluation.markdown import table
from hvae_sr.evaluation.references import References, load_references, load_training
from hvae_sr.evaluation.tables import BASELINES, SHARPNESS, convention
from hvae_sr.hub import load
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import ACTIVE, ACTIVITY_DRAWS, GenerativeModel
from hvae_sr.storage.cards import RESULTS, TRAINING
from hvae_sr.storage.serialization import CONFIG, fingerprint
from hvae_sr.training.setup import hardware

TASK = get_degradation("gaussian", 4)  # what makes models comparable, and thumbnails of photographs
BATCH = 64  # images per call when speed is measured


@dataclass(frozen=True)
class Cost:
    """What one model asks of a machine.

    Args:
        gflop: for one image at temperature 0; a multiplication and an addition are two.
        upscaled: images per second, upscaled at temperature 0, `BATCH` a call.
        sampled: unconditional samples per second at temperature 1, or None when the model has no
            p(y) to begin with.
    """

    gflop: float
    upscaled: float
    sampled: float | None


@dataclass(frozen=True)
class Member:
    """One model of the family: what its folder says, and what it costs here."""

    facts: dict[str, Any]
    results: dict[str, Any]
    cost: Cost


def gather(
    shelf: Path,
    references: References,
    *,
    training: Tensor | None = None,
    draws: int = 100,
    seed: int = 0,
    refresh: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Member]:
    """Measure every model on a shelf that restores what `TASK` shrank, by name.

    Args:
        shelf: the folder whose subfolders are models.
        references: thumbnails of one size.
        training, draws, seed: see `hvae_sr.evaluation.report.evaluate`.
        refresh: believe no `results.json`.
        say: is told in a sentence which models are measured anew.

    Raises:
        ModelError: when there is no such model, or a folder lacks what its card needs.
    """
    folders = [path.parent for path in sorted(shelf.glob(f"*/{CONFIG}"))]
    every = {folder: load(folder) for folder in folders}
    chosen = {folder: model for folder, model in every.items() if model.degradation == TASK}
    if not chosen:
        raise ModelError(f"no model in {shelf} is for x{TASK.scale}, degradation {TASK.name}")
    results = {}
    for folder, model in chosen.items():
        name = folder.name
        found = None if refresh else _kept(folder)
        if found is None or not is_current(found, model, references, training, draws, seed):
            say(f"{name}: measured anew, for {RESULTS} in its folder and its card")
            found = report.evaluate(model, references, training=training, draws=draws, seed=seed)
            (folder / RESULTS).write_text(json.dumps(found, indent=2) + "\n")
            cards.write_card(folder)
        results[name] = found
    height, width = (side // TASK.scale for side in references.batches[0].shape[-2:])
    lr = torch.rand(BATCH, 3, height, width, generator=torch.Generator().manual_seed(0))
    return {
        folder.name: Member(
            json.loads((folder / TRAINING).read_text()), results[folder.name], cost(model, lr)
        )
        for folder, model in chosen.items()
    }


def _kept(folder: Path) -> dict[str, Any] | None:
    path = folder / RESULTS
    kept: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return kept


def is_current(
    results: dict[str, Any],
    model: SuperResolutionModel,
    references: References,
    training: Tensor | None,
    draws: int,
    seed: int,
) -> bool:
    """Whether measuring again would give the same: the weights, images, draws and seed agree."""
    wanted = {
        "weights": fingerprint(model),
        "data": references.name,
        "space": references.space,
        "images": references.count,
        "seed": seed,
    }
    calibrated = linear = True
    if isinstance(model, GenerativeModel):
        wanted |= {"draws": draws, "samples": report.SAMPLES[references.space]}
        samples = report.CALIBRATION_SAMPLES[references.space]
        calibrated = results.get("calibration", {}).get("samples") == samples
    if training is not None:
        linear = "linear MMSE" in results.get("scores", {})
    return calibrated and linear and wanted.items() <= results.items()


def cost(model: SuperResolutionModel, lr: Tensor) -> Cost:
    """Count and time a model on LR images (`BATCH`, 3, h, w)."""
    with FlopCounterMode(display=False) as counter:  # trips over expanded parameters in no_grad
        model(lr[:1])
    return Cost(
        gflop=counter.get_total_flops() / 1e9,
        upscaled=len(lr) / median_seconds(lambda: model.upscale(lr)),
        sampled=_sampling_speed(model, lr),
    )


def _sampling_speed(model: SuperResolutionModel, lr: Tensor) -> float | None:
    if not isinstance(model, GenerativeModel):
        return None
    count, _, height, width = lr.shape
    size = (height * model.scale, width * model.scale)
    try:
        return count / median_seconds(lambda: model.sample(count, size=size, seed=0))
    except ModelError:  # a conditional model without p(y)
        return None


def page(family: dict[str, Member], command: str) -> str:
    """The Markdown page of a measured family."""
    first = next(iter(family.values())).results
    return PAGE.format(
        images=f"{first['images']:,}",
        data=first["data"],
        convention=convention(first),
        command=command,
        batch=BATCH,
        machine=f"{hardware(torch.device('cpu'))}, torch {torch.__version__}",
        costs=_costs(family),
        likelihoods=_likelihoods(family),
        answers=_answers(family),
        latents=_latents(family),
        sharpness=SHARPNESS,
        activity_draws=ACTIVITY_DRAWS,
        active=ACTIVE,
    )


PAGE = """\
# The thumbnail models, side by side

x4, degradation `gaussian`, {images} images of {data}, which no training and no selection has
seen. Made by

```bash
{command}
```

## Size and cost

"+" adds the model of LR images, p(y), which is trained on its own. GFLOP are those of one image at
T = 0, counted by torch's `FlopCounterMode` (a multiplication and an addition are two). Images per
second in calls of {batch}, median of five, on {machine}; one process measured them all, one
after another, so that their ratios mean more than they do.

{costs}

## Likelihood

In bits per colour value of the image described, y being the LR image and x the HR image. Both
parts make x: bits of x given y + bits of y / 16, as y has a sixteenth of the values. The ELBO is
distortion + rate; the bound of many draws (Burda et al. 2016) is closer to the truth.

{likelihoods}

## Images

{convention}, averaged per image. LR-PSNR shrinks the answer again and compares it with the input.
{sharpness}
More is not better: noise is sharp. "T = 0.8" and "T = 1" decode drawn latents to their expected
image; for an ideal sampler a sample of x given y (`decode="sample"`) lies 3.0 dB below the image of
least error, because it does not average the possible answers.

{answers}

## Latents

A unit is one latent number of a 32x32 image, a channel at a place. It is active when
(posterior mean - prior mean) / prior standard deviation, averaged over {activity_draws} draws of
what lies above, has a variance over images of more than {active} (after Burda et al. 2016): a
posterior that follows its prior is not active. Levels are coarse to fine.

{latents}
"""


def _costs(family: dict[str, Member]) -> str:
    fastest = max(member.cost.upscaled for member in family.values())
    rows = [
        [
            f"`{name}`",
            member.results["model_class"],
            f"{member.results['parameters'] / 1e6:.2f} M",
            _trained(member.facts, "images", ",.0f"),
            _trained(member.facts, "minutes", ".0f"),
            f"{member.cost.gflop:.3f}",
            f"{member.cost.upscaled:,.0f}",
            f"{fastest / member.cost.upscaled:.1f}",
            f"{member.cost.sampled:,.0f}" if member.cost.sampled is not None else "",
        ]
        for name, member in family.items()
    ]
    head = ["model", "class", "parameters", "training images", "minutes", "GFLOP"]
    head += ["upscaled per second", "times the fastest's time", "sampled per second"]
    return table(head, rows)


def _trained(facts: dict[str, Any], key: str, digits: str) -> str:
    return " + ".join(
        f"{part[key]:{digits}}" for part in (facts, facts.get("lr_prior")) if part is not None
    )


def _likelihoods(family: dict[str, Member]) -> str:
    rows: list[list[str]] = []
    for name, member in family.items():
        bits = member.results.get("bits", {})
        rows += _named(name, [_likelihood(of, values) for of, values in bits.items()])
    return table(["model", "bits of", "ELBO", "distortion", "rate", "bound of many draws"], rows)


def _likelihood(of: str, bits: dict[str, Any]) -> list[str]:
    terms = [_decimals(bits.get(key)) for key in ("total", "distortion", "rate")]
    bound, draws = _decimals(bits.get("importance_weighted")), bits.get("draws")
    part = of if "distortion" in bits else f"{of}, both parts"
    return [part, *terms, f"{bound} ({draws} draws)" if bound and draws else bound]


def _decimals(value: float | None) -> str:
    return f"{value:.3f}" if value is not None else ""


def _answers(family: dict[str, Member]) -> str:
    first = next(iter(family.values())).results["scores"]
    rows = [[f"*{name}*", "", *_scored(first[name])] for name in BASELINES if name in first]
    for name, member in family.items():
        scores = member.results["scores"]
        shown = [answer for answer in scores if _is_headline(answer)]
        rows += _named(name, [[answer, *_scored(scores[answer])] for answer in shown])
    return table(["model", "answer", "PSNR (dB)", "SSIM", "LR-PSNR (dB)", "sharpness"], rows)


def _is_headline(answer: str) -> bool:
    if "projected" in answer:
        return False
    return answer in ("model", report.SAMPLE) or answer.startswith(("T = ", "mean of "))


def _scored(scores: dict[str, float]) -> list[str]:
    digits = {"psnr": ".2f", "ssim": ".4f", "lr_psnr": ".1f", "sharpness": ".2f"}
    return [f"{scores[key]:{form}}" if key in scores else "" for key, form in digits.items()]


def _latents(family: dict[str, Member]) -> str:
    rows: list[list[str]] = []
    for name, member in family.items():
        every = member.results.get("bits", {}).items()
        rows += _named(name, [[of, *level] for of, bits in every for level in _levels(bits)])
    head = ["model", "of", "level", "groups", "units", "active", "share", "rate (bits)"]
    return table(head, rows)


def _levels(bits: dict[str, Any]) -> list[list[str]]:
    """Cells of each resolution: size, groups, units, active units, their share, bits of rate."""
    units, active, rates = (bits.get(key, []) for key in ("units", "active", "rates"))
    sums: dict[str, list[float]] = {}
    for (channels, height, width), moving, rate in zip(units, active, rates, strict=True):
        level = sums.setdefault(f"{width}x{height}", [0, 0, 0, 0.0])
        for index, value in enumerate((1, channels * height * width, moving, rate)):
            level[index] += value
    return [
        [size, f"{groups}", f"{count:,}", f"{moving:,}", f"{moving / count:.0%}", f"{rate:.3f}"]
        for size, (groups, count, moving, rate) in sums.items()
    ]


def _named(name: str, rows: list[list[str]]) -> list[list[str]]:
    """The rows of one model, the first with its name in front."""
    return [[f"`{name}`" if index == 0 else "", *row] for index, row in enumerate(rows)]


def main(arguments: list[str]) -> None:
    made = parser("family", __doc__)
    made.add_argument("--data", required=True, help="cifar10 (test split) or a .npy file")
    made.add_argument("--train-data", help="cifar10 or a .npy file, for the linear-MMSE line")
    made.add_argument("--data-root", type=Path, default=Path("data"), help="for CIFAR-10")
    made.add_argument("--limit", type=int, default=1_000, help="only the first so many images")
    made.add_argument("--iw", type=int, default=100, help="draws of the importance-weighted bound")
    made.add_argument("--seed", type=int, default=0, help="of all draws")
    made.add_argument("--refresh", action="store_true", help="measure every model anew")
    made.add_argument("--models", type=Path, default=MODEL_CARDS, help="folder of model folders")
    made.add_argument("--out", type=Path, default=ROOT / "docs" / "family.md", help="page to write")
    options = made.parse_args(arguments)
    members = gather(
        options.models,
        load_references(
            options.data, TASK.scale, space="rgb", limit=options.limit, root=options.data_root
        ),
        training=load_training(options.train_data, options.data_root),
        draws=options.iw,
        seed=options.seed,
        refresh=options.refresh,
        say=lambda message: print(message, file=sys.stderr),
    )
    sources = f"--data {Path(options.data).name}"
    if options.train_data is not None:
        sources += f" --train-data {Path(options.train_data).name}"
    settings = f"--limit {options.limit} --iw {options.iw} --seed {options.seed}"
    options.out.write_text(page(members, f"python -m benchmarks family {sources} {settings}"))
    print(options.out)
