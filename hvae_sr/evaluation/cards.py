"""Model cards, written from what was measured: `config.json`, `training.json`, `results.json`."""

import json
import math
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hvae_sr.errors import ModelError
from hvae_sr.evaluation import learned, showcase
from hvae_sr.evaluation.report import CROP, by_set, markdown, space_of
from hvae_sr.hub import bundled, load
from hvae_sr.models.description import citation
from hvae_sr.models.registry import MODELS
from hvae_sr.storage.cards import CARD, NOTES, RESULTS, SAMPLES, TRAINING
from hvae_sr.storage.serialization import CONFIG, read_config

TEMPLATE = """---
{metadata}
---

# {name}

{notes}

```python
import hvae_sr
from PIL import Image

model = hvae_sr.load("{name}")  # or "owner/name" on a hub, or a folder
{use}
```

![{seen}]({picture})

## Scores

{scores}
Made by `hvae-sr evaluate {name} {command}`.

{conventions}

## Training

{training}

## Limits and licences

{limits}

## Citation

{citation}
"""

THUMBNAILS = """\
`test.npy` holds the first 1,000 official CIFAR-10 test pictures (`--data cifar10 --limit 1000` is
the same), `train.npy` the first 47,500 training pictures. LR-PSNR shrinks the answer again and
compares it with the input; "projected" answers went through `consistent=True`. """

PHOTOGRAPHS = """\
The data sets are the standard ones, in the folders of those names, each picture cropped to a
multiple of the scale; "bicubic" is MATLAB's and Pillow's. LR-PSNR shrinks the answer again and
compares it with the input; "projected" answers went through `consistent=True`. """

SAMPLING = """\
For an ideal sampler a T = 1 sample lies 3.0 dB below the MMSE picture and {below:.1f} dB below \
the mean
of {samples}, because it does not average the possible answers: PSNR falls while plausibility \
rises."""

PHOTOGRAPH_BITS = f"""
Bits are of the {CROP}x{CROP} pixels in the middle of each picture."""

LIMITS = """\
{seen} It expects inputs
made by its own degradation; JPEG artefacts and noise are enlarged, not removed. What a generative
model adds is plausible, not evidence: do not use it to identify people or to read what was not
legible.

{licence}"""

SEEN = {
    "rgb": """\
Trained on 8x8 -> 32x32 CIFAR-10 pictures only. It is fully convolutional and runs on any size, but
has never seen wider context: on photographs it adds little beyond sharper edges.""",
    "y": "Trained on photographs only. It is fully convolutional and runs on any size.",
}
LICENCE = {
    "rgb": """\
Weights: Apache-2.0. Data: CIFAR-10 (Krizhevsky 2009), whose authors state no licence.""",
    "y": """\
Weights: Apache-2.0, which covers what was made here. The photographs they learned from keep their
own terms, named above with the data: where those exclude commercial use, ask the owners of the
photographs before building a product on these weights.""",
}


def write_card(folder: Path) -> ModelCard:
    """Write `README.md` of a model folder and its picture, from the files beside it.

    Raises:
        ModelError: naming the file that is missing.
    """
    text = card_text(folder)
    first = next(iter(by_set(_read(folder / RESULTS)).values()))
    showcase.samples(load(folder), space_of(first)).save(folder / SAMPLES, optimize=True)
    (folder / CARD).write_text(text, encoding="utf-8")
    return ModelCard(text)


def card_text(folder: Path) -> str:
    """The text of a released model's card, with a `model-index` of its scores.

    Raises:
        ModelError: naming the file that is missing.
    """
    config = read_config(folder / CONFIG)
    facts, results = _read(folder / TRAINING), _read(folder / RESULTS)
    sets = by_set(results)
    first = next(iter(sets.values()))
    space = space_of(first)
    if not (folder / NOTES).is_file():
        raise ModelError(f"{folder / NOTES} is missing: describe the model there in a paragraph")
    labels = showcase.labels(generative="bits" in first)
    return TEMPLATE.format(
        metadata=_metadata(folder.name, sets).to_yaml(),
        name=folder.name,
        notes=(folder / NOTES).read_text(encoding="utf-8").strip(),
        use=_use(first),
        picture=SAMPLES,
        seen=f"From left to right: {', '.join(labels)}",
        scores=_overview({folder.name: results}) + markdown(results),
        command=_command(sets),
        conventions=_conventions(first),
        training=_training(facts),
        limits=LIMITS.format(seen=SEEN[space], licence=LICENCE[space]),
        citation=citation(MODELS.get(config["model_class"])),
    )


def tables() -> list[str]:
    """All scored bundled models as Markdown tables: thumbnails, then photographs."""
    every = {
        name: _read(folder / RESULTS)
        for name, folder in bundled().items()
        if (folder / RESULTS).is_file()
    }
    first = {name: next(iter(by_set(results).values())) for name, results in every.items()}
    small = {name: report for name, report in first.items() if space_of(report) == "rgb"}
    large = {name: every[name] for name, report in first.items() if space_of(report) == "y"}
    return [make(models) for make, models in ((thumbnails, small), (photographs, large)) if models]


def headline(folder: Path) -> str | None:
    """Data set and PSNR of a model's best guess, as "Set5 31.22 dB"; None when never scored.

    Raises:
        ModelError: when the results are no JSON.
    """
    if not (folder / RESULTS).is_file():
        return None
    name, report = next(iter(by_set(_read(folder / RESULTS)).items()))
    shown = name if space_of(report) == "y" else "CIFAR-10"
    return f"{shown} {report['scores'][_best(report)]['psnr']:.2f} dB"


def thumbnails(models: dict[str, dict[str, Any]]) -> str:
    """Models of thumbnails by name, with the report of one data set each, as one table."""
    lines = [
        "| model | class | parameters | PSNR T = 0 | T = 0.8 | T = 1 | mean of 16 | SSIM T = 0 | "
        "bits/dim of x given y | bits/dim of x |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    first = next(iter(models.values()))
    for name in ("bicubic", "bicubic, projected", "linear MMSE"):
        if name in first["scores"]:
            scores = first["scores"][name]
            lines.append(
                f"| *{name}* | | | {scores['psnr']:.2f} | | | | {scores['ssim']:.3f} | | |"
            )
    return "\n".join(lines + [_row(name, report) for name, report in models.items()])


def photographs(models: dict[str, dict[str, Any]]) -> str:
    """Models of photographs by name, with the content of their `results.json`, as one table.

    A line for each answer; PSNR / SSIM for each data set, and the lowest LR-PSNR of them. The
    models of one scale stand below bicubic interpolation at that scale.
    """
    names = list(dict.fromkeys(name for results in models.values() for name in by_set(results)))
    lines = [
        f"| model | parameters | answer | {' | '.join(names)} | LR-PSNR |",
        "|---" * (len(names) + 4) + "|",
    ]
    tasks: dict[tuple[int, str], dict[str, dict[str, Any]]] = {}
    for model, results in models.items():
        sets = by_set(results)
        first = next(iter(sets.values()))
        tasks.setdefault((first["scale"], first["degradation"]), {})[model] = sets
    for (scale, degradation), members in sorted(tasks.items()):
        baseline: dict[str, dict[str, Any]] = {}
        for sets in members.values():
            baseline = {**sets, **baseline}
        shown = [[f"*x{scale}, {degradation}*", "", *_scored(baseline, "bicubic", names)]]
        for model, sets in members.items():
            size = f"{next(iter(sets.values()))['parameters'] / 1e6:.2f} M"
            answers = _headlines(sets)
            shown += [
                [f"`{model}`", size, *_scored(sets, answer, names)] for answer in answers[:1]
            ] + [["", "", *_scored(sets, answer, names)] for answer in answers[1:]]
        lines += [f"| {' | '.join(cells)} |" for cells in shown]
    return "\n".join(lines)


def _scored(sets: dict[str, dict[str, Any]], answer: str, names: list[str]) -> list[str]:
    """The cells of one answer: its name, PSNR / SSIM for each data set, the lowest LR-PSNR."""
    found = {name: sets[name]["scores"].get(answer) for name in names if name in sets}
    scores = {name: score for name, score in found.items() if score is not None}
    cells = [
        f"{scores[name]['psnr']:.2f} / {scores[name]['ssim']:.4f}" if name in scores else ""
        for name in names
    ]
    return [answer, *cells, f"{min(score['lr_psnr'] for score in scores.values()):.1f}"]


def _headlines(sets: dict[str, dict[str, Any]]) -> list[str]:
    """The answers that an overview shows, the best guess first."""
    scores = next(iter(sets.values()))["scores"]
    means = [name for name in scores if name.startswith("mean of") and "projected" not in name]
    wanted = ["model", "T = 0", *means, "T = 0.8, projected", "T = 1"]
    return [name for name in wanted if name in scores]


def _overview(models: dict[str, dict[str, Any]]) -> str:
    """The table of several data sets that a card shows above their details."""
    if any("sets" not in results for results in models.values()):
        return ""
    return photographs(models) + "\n\n"


def _row(name: str, report: dict[str, Any]) -> str:
    scores, bits = report["scores"], report.get("bits", {})
    best = scores[_best(report)]
    others = [
        f"{scores[key]['psnr']:.2f}" if key in scores else ""
        for key in ("T = 0.8", "T = 1", "mean of 16")
    ]
    totals = [f"{bits[key]['total']:.2f}" if key in bits else "" for key in ("x given y", "x")]
    cells = [
        f"`{name}`",
        report["model_class"],
        f"{report['parameters'] / 1e6:.2f} M",
        f"{best['psnr']:.2f}",
        *others,
        f"{best['ssim']:.3f}",
        *totals,
    ]
    return "| " + " | ".join(cells) + " |"


def _best(report: dict[str, Any]) -> str:
    return "T = 0" if "T = 0" in report["scores"] else "model"


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is missing or no JSON: {error}") from error
    return content


def _use(report: dict[str, Any]) -> str:
    lines = ['picture = model.upscale(Image.open("in.png"))']
    if "bits" in report:
        lines.append(
            'several = model.upscale(Image.open("in.png"), num_samples=8, temperature=0.8, seed=0)'
        )
    if "bits" in report and space_of(report) == "y":
        lines += [
            'output = hvae_sr.Upscaler(model)(Image.open("in.png"), num_samples=8)',
            "output.std  # where the model is unsure",
        ]
    return "\n".join(lines)


def _command(sets: dict[str, dict[str, Any]]) -> str:
    """The arguments of `hvae-sr evaluate` that make these results again."""
    first = next(iter(sets.values()))
    draws = max((bits.get("draws", 1) for bits in first.get("bits", {}).values()), default=1)
    weights = (f" --iw {draws}" if draws > 1 else "") + learned.options(first)
    if space_of(first) == "rgb":
        return f"--data test.npy --train-data train.npy{weights}"
    samples = f" --samples {first['samples']}" if "samples" in first else ""
    sources = " ".join(f"--data {name.lower()}" for name in sets)
    return f"{sources} --data-root FOLDER{samples}{weights}"


def _conventions(report: dict[str, Any]) -> str:
    text = THUMBNAILS if space_of(report) == "rgb" else PHOTOGRAPHS
    if "bits" not in report:
        return text
    samples = report.get("samples", 16)
    text += SAMPLING.format(samples=samples, below=10 * math.log10(2 / (1 + 1 / samples)))
    return text + (PHOTOGRAPH_BITS if space_of(report) == "y" else "")


def _metadata(name: str, sets: dict[str, dict[str, Any]]) -> ModelCardData:
    photographs = space_of(next(iter(sets.values()))) == "y"
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name=f"x{report['scale']} super-resolution ({report['degradation']})",
            dataset_type=data.lower() if photographs else "cifar10",
            dataset_name=data
            if photographs
            else f"CIFAR-10 test, first {report['pictures']} pictures",
            metric_type=kind,
            metric_name=label,
            metric_value=round(report["scores"][_best(report)][kind], digits),
        )
        for data, report in sets.items()
        for kind, label, digits in (
            ("psnr", "PSNR (dB, Y)" if photographs else "PSNR (dB, RGB)", 2),
            ("ssim", "SSIM (Y)" if photographs else "SSIM", 4),
        )
    ]
    return ModelCardData(
        model_name=name,
        library_name="hvae_sr",
        license="apache-2.0",
        pipeline_tag="image-to-image",
        tags=["super-resolution", "image-upscaling", "pytorch_model_hub_mixin", "model_hub_mixin"],
        datasets=None if photographs else ["cifar10"],
        eval_results=results,
    )


def _training(facts: dict[str, Any]) -> str:
    minutes = f"{facts['minutes']:.0f} minutes"
    lines = [
        f"- Data: {facts['data']}, and {facts['validation']:,} more held out for validation; no "
        "test picture was trained on, and nothing was chosen by one.",
        f"- {facts['steps']:,} steps, {facts['images']:,} pictures, {minutes} on "
        f"{facts['hardware']}, precision `{facts['precision']}`, seed {facts['seed']}, "
        f"{facts['skipped_gradients']} gradients dropped, torch {facts['torch']}.",
        f"- Command: `{facts['command']}`",
        "- Recipe: every setting is in `training.json`; the weights are the moving average.",
    ]
    if facts.get("initialised_from"):
        lines.append(f"- Started from {facts['initialised_from']}.")
    if facts.get("regression"):
        lines.append(f"- Stands on {facts['regression']}, whose weights it carries unchanged.")
    if "lr_prior" in facts:
        lines.append("\np(y), the prior of LR pictures, was trained on its own:\n")
        lines.append(_training(facts["lr_prior"]))
    return "\n".join(lines)
