"""`hvae-sr train`, which `train.py` calls too."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hvae_sr.cli.app import app
from hvae_sr.errors import TrainingError
from hvae_sr.training.recipes import PRESETS

PRESET = "study-cnn-cifar10-x4"
OF_PRESET = "the preset's"


@app.command(epilog="\b\n" + "\n  ".join(["Presets:", *PRESETS]))
def train(
    preset: Annotated[str, typer.Option(help="One of those that are listed below.")] = PRESET,
    data: Annotated[
        str, typer.Option(help="cifar10, procedural, a folder of images, or a .npy file.")
    ] = "procedural",
    data_root: Annotated[Path, typer.Option(help="Where torchvision keeps CIFAR-10.")] = Path(
        "data"
    ),
    lr: Annotated[
        str | None,
        typer.Option(
            help="LR versions of --data: a folder with the same file names, or a .npy file.",
            show_default="made by the preset's degradation",
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            help="Outputs of a teacher for --lr: a folder with the same file names, or a .npy file."
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=1, help="Side of crops from folders, in HR pixels.", show_default=OF_PRESET
        ),
    ] = None,
    validation: Annotated[
        int | None,
        typer.Option(min=1, help="Images held out for validation.", show_default=OF_PRESET),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/PRESET")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps.", show_default=OF_PRESET)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images of a batch.", show_default=OF_PRESET)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Largest learning rate.", show_default=OF_PRESET)
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="A trained model to start from: bundled name, folder or owner/name.",
            show_default=OF_PRESET,
        ),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(help="Final weight of the rate in the ELBO.", show_default=OF_PRESET),
    ] = None,
    kl_warmup: Annotated[
        float | None,
        typer.Option(
            help="Share of the run after which beta has its final value.", show_default=OF_PRESET
        ),
    ] = None,
    free_bits: Annotated[
        float | None,
        typer.Option(
            help="Bits per dimension that each latent may use at no cost.", show_default=OF_PRESET
        ),
    ] = None,
    mse_weight: Annotated[
        float | None,
        typer.Option(help="Weight of the reconstruction's squared error.", show_default=OF_PRESET),
    ] = None,
    prior_weight: Annotated[
        float | None,
        typer.Option(
            help="Weight of the error of the image at temperature 0.", show_default=OF_PRESET
        ),
    ] = None,
    base_model: Annotated[
        str | None,
        typer.Option(
            help="A trained deterministic model for the base image of an HVAE: bundled name, "
            "folder or owner/name.",
            show_default=OF_PRESET,
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="Weights of EfficientNet-Lite0: train on a loss on its features too."),
    ] = None,
    feature_weight: Annotated[
        float | None,
        typer.Option(
            help="Weight of the loss on features at the end of the run.", show_default=OF_PRESET
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of weights, data order and noise.")
    ] = 0,
    precision: Annotated[str, typer.Option(help="no (float32), tf32, bf16 or fp16.")] = "no",
    accumulate: Annotated[int, typer.Option(min=1, help="Batches per optimiser step.")] = 1,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Keep images channels-last in memory.")
    ] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            help="Stop after so many minutes, to be resumed later.", show_default="no limit"
        ),
    ] = None,
    anneal_minutes: Annotated[
        float | None,
        typer.Option(
            help="Let the schedules follow the clock and end after so many minutes in all.",
            show_default="they follow the steps",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint.")
    ] = False,
    allow_changes: Annotated[
        bool,
        typer.Option(
            "--allow-changes", help="Resume with another recipe, seed, precision or data."
        ),
    ] = False,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Repository to push the trained model to."),
    ] = None,
) -> None:
    """Train a model: OUT/model can be loaded, curves and samples are beside it."""
    if preset not in PRESETS:
        raise TrainingError(f"--preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    from hvae_sr.storage.shelf import is_repository
    from hvae_sr.training.data import load_images
    from hvae_sr.training.loop import Trainer
    from hvae_sr.training.setup import Options

    if push_to_hub is not None and not is_repository(push_to_hub):
        raise TrainingError(f"--push-to-hub takes OWNER/NAME, not {push_to_hub!r}")
    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "crop": crop,
        "validation": validation,
        "init": init,
        "base_model": base_model,
        "feature_weight": feature_weight,
    }
    recipe = replace(PRESETS[preset], **{k: v for k, v in given.items() if v is not None})
    terms: dict[str, Any] = {
        "beta": beta,
        "kl_warmup_end": kl_warmup,
        "free_bits": free_bits,
        "mse_weight": mse_weight,
        "prior_weight": prior_weight,
    }
    terms = {key: value for key, value in terms.items() if value is not None}
    if terms and recipe.objective is None:
        raise TrainingError(f"{preset} is trained without an ELBO: leave out its terms")
    if recipe.objective is not None:
        recipe = replace(recipe, objective=replace(recipe.objective, **terms))
    options = Options(
        out=out or Path("runs") / preset,
        seed=seed,
        precision=precision,
        accumulate=accumulate,
        channels_last=channels_last,
        compile=compile,
        max_minutes=max_minutes,
        anneal_minutes=anneal_minutes,
        resume=resume,
        allow_changes=allow_changes,
        save_every=save_every,
        features=features,
    )
    images = load_images(data, crop=recipe.crop, root=data_root, lr=lr, targets=targets)
    model = Trainer(recipe, images, options, _command()).run()
    if push_to_hub:
        model.push_to_hub(push_to_hub)


def _command() -> str:
    """The line that began this run, for the facts beside the model."""
    called = Path(sys.argv[0]).name
    start = ["python", "train.py"] if called == "train.py" else ["hvae-sr"]
    return shlex.join([*start, *sys.argv[1:]])
