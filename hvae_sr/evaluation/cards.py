"""Model cards, written from what was measured: `config.json`, `training.json`, `results.json`."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hvae_sr.degradations import get_degradation
from hvae_sr.errors import ModelError
from hvae_sr.evaluation import figures, learned, tables
from hvae_sr.evaluation.bounds import CROP
from hvae_sr.evaluation.references import CIFAR10
from hvae_sr.evaluation.report import CALIBRATION_SAMPLES, SAMPLES
from hvae_sr.evaluation.results import Report, best_answer, by_set, first_of, read, space_of
from hvae_sr.hub import load
from hvae_sr.models.description import citation
from hvae_sr.models.registry import MODELS
from hvae_sr.storage.cards import CARD, NOTES, RESULTS, TRAINING
from hvae_sr.storage.cards import SAMPLES as FIGURE
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

![{seen}]({image})

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

CONSISTENCY = (
    'LR-PSNR shrinks the answer again and compares it with the input; "projected" answers went '
    "through `consistent=True`."
)
PHOTOGRAPHS = (
    "Each image is cropped to a multiple of the scale; \"bicubic\" is MATLAB's and Pillow's."
)
SAMPLING = (
    '"T = 0.8" and "T = 1" decode drawn latents to their expected image, and the mean is of such '
    'images. A sample of x given y (`decode="sample"` at T = 1) draws the image from the '
    "likelihood too: for an ideal sampler it lies 3.0 dB below the MMSE image, because it does not "
    "average the possible answers. PSNR falls while plausibility rises."
)
PHOTOGRAPH_BITS = f"Bits are of the {CROP}x{CROP} pixels in the middle of each image."
ANY_SIZE = "It is fully convolutional and runs on any size{}."
OF_THUMBNAILS = ", but has seen thumbnails only: on photographs it adds little beyond sharper edges"
OWN_INPUTS = (
    "It expects inputs made by its own degradation; JPEG artefacts and noise are enlarged, not "
    "removed."
)
BLIND_INPUTS = "It expects inputs that are degraded as its training images were."
NO_EVIDENCE = (
    "What a generative model adds is plausible, not evidence: do not use it to identify people or "
    "to read what was not legible."
)
LICENCE = (
    "Weights: Apache-2.0, which covers what was made here. The images they learned from keep their "
    "own terms, named above with the data: where those exclude commercial use, ask the owners of "
    "the images before building a product on these weights."
)


def write_card(folder: Path) -> ModelCard:
    """Write `README.md` of a model folder and its figure, from the files beside it.

    Raises:
        ModelError: naming the file that is missing.
    """
    text = card_text(folder)
    space = space_of(first_of(read(folder / RESULTS)))
    figures.samples(load(folder), space).save(folder / FIGURE, optimize=True)
    (folder / CARD).write_text(text, encoding="utf-8")
    return ModelCard(text)


def card_text(folder: Path) -> str:
    """The text of a trained and measured model's card, with a `model-index` of its scores.

    Raises:
        ModelError: naming the file that is missing.
    """
    config = read_config(folder / CONFIG)
    facts, results = read(folder / TRAINING), read(folder / RESULTS)
    if not (folder / NOTES).is_file():
        raise ModelError(f"{folder / NOTES} is missing: describe the model there in a paragraph")
    first, sets = first_of(results), by_set(results)
    overview = tables.photographs({folder.name: results}) + "\n\n" if "sets" in results else ""
    return TEMPLATE.format(
        metadata=_metadata(folder.name, sets).to_yaml(),
        name=folder.name,
        notes=(folder / NOTES).read_text(encoding="utf-8").strip(),
        use=_use(first),
        image=FIGURE,
        seen=f"From left to right: {', '.join(figures.labels(generative='bits' in first))}",
        scores=overview + tables.markdown(results),
        command=_command(sets),
        conventions=_conventions(first),
        training=_training(facts),
        limits=_limits(config, first),
        citation=citation(MODELS.get(config["model_class"])),
    )


def _use(report: Report) -> str:
    lines = ['image = model.upscale(Image.open("in.png"))']
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


def _command(sets: Mapping[str, Report]) -> str:
    """The arguments of `hvae-sr evaluate` that make these results again."""
    first = next(iter(sets.values()))
    options = " ".join(_source(name, report) for name, report in sets.items())
    if space_of(first) == "y":
        options += " --data-root FOLDER"
    space, calibration = space_of(first), first.get("calibration", {})
    if first.get("samples", SAMPLES[space]) != SAMPLES[space]:
        options += f" --samples {first['samples']}"
    if calibration.get("samples", CALIBRATION_SAMPLES[space]) != CALIBRATION_SAMPLES[space]:
        options += f" --calibration-samples {calibration['samples']}"
    draws = max((bits.get("draws", 1) for bits in first.get("bits", {}).values()), default=1)
    return options + (f" --iw {draws}" if draws > 1 else "") + learned.options(first)


def _source(name: str, report: Report) -> str:
    if name == CIFAR10:
        train = " --train-data cifar10" if "linear MMSE" in report["scores"] else ""
        return f"--data cifar10 --limit {report['images']}{train}"
    train = " --train-data TRAIN.npy" if "linear MMSE" in report["scores"] else ""
    return f"--data {name.lower() if space_of(report) == 'y' else name}{train}"


def _conventions(report: Report) -> str:
    photographs, generative = space_of(report) == "y", "bits" in report
    sentences = [PHOTOGRAPHS] if photographs else []
    if any("lr_psnr" in scores for scores in report["scores"].values()):
        sentences.append(CONSISTENCY)
    sentences += [SAMPLING] if generative else []
    sentences += [PHOTOGRAPH_BITS] if photographs and generative else []
    return _paragraph(*sentences)


def _limits(config: Mapping[str, Any], report: Report) -> str:
    degradation = get_degradation(config["degradation"], report["scale"])
    size = ANY_SIZE.format(OF_THUMBNAILS if space_of(report) == "rgb" else "")
    inputs = OWN_INPUTS if degradation.can_project else BLIND_INPUTS
    return f"{_paragraph(size, inputs, NO_EVIDENCE)}\n\n{_paragraph(LICENCE)}"


def _paragraph(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), 100, break_on_hyphens=False)


def _metadata(name: str, sets: Mapping[str, Report]) -> ModelCardData:
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name=f"x{report['scale']} super-resolution ({report['degradation']})",
            dataset_type="cifar10" if data == CIFAR10 else data.lower(),
            dataset_name=f"{data}, first {report['images']} images" if data == CIFAR10 else data,
            metric_type=kind,
            metric_name=label,
            metric_value=round(report["scores"][best_answer(report)][kind], digits),
        )
        for data, report in sets.items()
        for kind, label, digits in _metrics(space_of(report))
    ]
    return ModelCardData(
        model_name=name,
        library_name="hvae_sr",
        license="apache-2.0",
        pipeline_tag="image-to-image",
        tags=["super-resolution", "image-upscaling", "pytorch_model_hub_mixin", "model_hub_mixin"],
        datasets=["cifar10"] if CIFAR10 in sets else None,
        eval_results=results,
    )


def _metrics(space: str) -> list[tuple[str, str, int]]:
    """Key, name and decimals of the figures in a card's metadata."""
    if space == "y":
        return [("psnr", "PSNR (dB, Y)", 2), ("ssim", "SSIM (Y)", 4)]
    return [("psnr", "PSNR (dB, RGB)", 2), ("ssim", "SSIM", 4)]


def _training(facts: Mapping[str, Any]) -> str:
    lines = [
        f"- Data: {facts['data']}, and {facts['validation']:,} more held out for validation.",
        f"- {facts['steps']:,} steps, {facts['images']:,} images, {facts['minutes']:.0f} minutes "
        f"on {facts['hardware']}, precision `{facts['precision']}`, seed {facts['seed']}, "
        f"{facts['skipped_gradients']} gradients dropped, torch {facts['torch']}.",
        f"- Command: `{facts['command']}`",
        "- Recipe: every setting is in `training.json`; the weights are the moving average.",
    ]
    if facts.get("initialised_from"):
        lines.append(f"- Started from {facts['initialised_from']}.")
    if facts.get("base_model"):
        lines.append(f"- Stands on {facts['base_model']}, whose weights it carries unchanged.")
    if "lr_prior" in facts:
        lines.append("\np(y), the prior of LR images, was trained on its own:\n")
        lines.append(_training(facts["lr_prior"]))
    return "\n".join(lines)
