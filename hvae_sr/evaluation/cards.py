"""Model cards, written from what was measured: `config.json`, `training.json`, `results.json`."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hvae_sr.errors import ModelError
from hvae_sr.evaluation.report import markdown
from hvae_sr.hub import bundled
from hvae_sr.serialization import CONFIG, read_config

TRAINING, RESULTS, NOTES = "training.json", "results.json", "notes.md"

TEMPLATE = """---
{metadata}
---

# {name}

{notes}

```python
import hvae_sr
from PIL import Image

model = hvae_sr.load("{name}")  # or "owner/{name}" from a hub, or a folder
{use}
```

## Scores

{scores}
Made by `hvae-sr evaluate {name} --data test.npy --train-data train.npy{draws}`.

{conventions}

## Training

{training}

## Limits and licences

{limits}

## Citation

See `CITATION.cff` of hvae_sr, and the papers named in the docstring of `hvae_sr.{model_class}`.
"""

CONVENTIONS = """\
`test.npy` holds the first 1,000 official CIFAR-10 test pictures (`--data cifar10 --limit 1000` is
the same), `train.npy` the first 47,500 training pictures. LR-PSNR shrinks the answer again and
compares it with the input; "projected" answers went through `consistent=True`. """

SAMPLING = """\
For an ideal sampler a T = 1 sample lies 3.0 dB below the MMSE picture and 2.7 dB below the mean
of 16, because it does not average the possible answers: PSNR falls while plausibility rises."""

LIMITS = """\
Trained on 8x8 -> 32x32 CIFAR-10 pictures only. It is fully convolutional and runs on any size, but
has never seen wider context: on photographs it adds little beyond sharper edges. It expects inputs
made by its own degradation; JPEG artefacts and noise are enlarged, not removed. What a generative
model adds is plausible, not evidence: do not use it to identify people or to read what was not
legible.

Weights: Apache-2.0. Data: CIFAR-10 (Krizhevsky 2009), whose authors state no licence."""


def write_card(folder: Path) -> ModelCard:
    """Write `README.md` of a model folder from the files beside it.

    Raises:
        ModelError: naming the file that is missing.
    """
    card = ModelCard(card_text(folder))
    card.save(folder / "README.md")
    return card


def card_text(folder: Path) -> str:
    """The text of a released model's card, with a `model-index` of its scores."""
    config = read_config(folder / CONFIG)
    facts, report = _read(folder / TRAINING), _read(folder / RESULTS)
    sampling = "bits" in report
    if not (folder / NOTES).is_file():
        raise ModelError(f"{folder / NOTES} is missing: describe the model there in a paragraph")
    draws = max((bits.get("draws", 1) for bits in report.get("bits", {}).values()), default=1)
    return TEMPLATE.format(
        metadata=_metadata(folder.name, report).to_yaml(),
        name=folder.name,
        notes=(folder / NOTES).read_text(encoding="utf-8").strip(),
        use=_use(sampling),
        scores=markdown(report),
        draws=f" --iw {draws}" if draws > 1 else "",
        conventions=CONVENTIONS + (SAMPLING if sampling else ""),
        training=_training(facts),
        limits=LIMITS,
        model_class=config["model_class"],
    )


def table() -> str:
    """All bundled models and their scores as a Markdown table, as the README shows it."""
    lines = [
        "| model | class | parameters | PSNR T = 0 | T = 0.8 | T = 1 | mean of 16 | SSIM T = 0 | "
        "bits/dim of x given y | bits/dim of x |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    reports = {name: _read(folder / RESULTS) for name, folder in bundled().items()}
    first = next(iter(reports.values()))
    for name in ("bicubic", "bicubic, projected", "linear MMSE"):
        if name in first["scores"]:
            scores = first["scores"][name]
            lines.append(
                f"| *{name}* | | | {scores['psnr']:.2f} | | | | {scores['ssim']:.3f} | | |"
            )
    return "\n".join(lines + [_row(name, report) for name, report in reports.items()])


def _row(name: str, report: dict[str, Any]) -> str:
    scores, bits = report["scores"], report.get("bits", {})
    best = scores["T = 0" if "T = 0" in scores else "model"]
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


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is missing or no JSON: {error}") from error
    return content


def _use(sampling: bool) -> str:
    lines = ['picture = model.upscale(Image.open("in.png"))']
    if sampling:
        lines.append(
            'several = model.upscale(Image.open("in.png"), num_samples=8, temperature=0.8, seed=0)'
        )
    return "\n".join(lines)


def _metadata(name: str, report: dict[str, Any]) -> ModelCardData:
    headline = "T = 0" if "T = 0" in report["scores"] else "model"
    scores = report["scores"][headline]
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name=f"x{report['scale']} super-resolution ({report['degradation']})",
            dataset_type="cifar10",
            dataset_name=f"CIFAR-10 test, first {report['pictures']} pictures",
            metric_type=kind,
            metric_name=label,
            metric_value=round(scores[key], digits),
        )
        for kind, label, key, digits in (
            ("psnr", "PSNR (dB, RGB)", "psnr", 2),
            ("ssim", "SSIM", "ssim", 4),
        )
    ]
    return ModelCardData(
        model_name=name,
        library_name="hvae_sr",
        license="apache-2.0",
        pipeline_tag="image-to-image",
        tags=["super-resolution", "image-upscaling", "pytorch_model_hub_mixin", "model_hub_mixin"],
        datasets=["cifar10"],
        eval_results=results,
    )


def _training(facts: dict[str, Any]) -> str:
    minutes = f"{facts['minutes']:.0f} minutes"
    lines = [
        f"- Data: {facts['data']}, and {facts['validation']:,} more held out for validation; test "
        "pictures were used for the tables above only.",
        f"- {facts['steps']:,} steps, {facts['images']:,} pictures, {minutes} on "
        f"{facts['hardware']}, precision `{facts['precision']}`, seed {facts['seed']}, "
        f"{facts['skipped_gradients']} gradients dropped, torch {facts['torch']}.",
        f"- Command: `{facts['command']}`",
        "- Recipe: every setting is in `training.json`; the weights are the moving average.",
    ]
    if "lr_prior" in facts:
        lines.append("\np(y), the prior of LR pictures, was trained on its own:\n")
        lines.append(_training(facts["lr_prior"]))
    return "\n".join(lines)
