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


@app.command()
def train(
    preset: Annotated[
        str, typer.Option(help=f"One of: {', '.join(PRESETS)}.")
    ] = "study-cnn-cifar10-x4",
    data: Annotated[
        str, typer.Option(help="cifar10, procedural, a folder of pictures, or a .npy file.")
    ] = "procedural",
    data_root: Annotated[Path, typer.Option(help="Where torchvision keeps CIFAR-10.")] = Path(
        "data"
    ),
    lr: Annotated[
        str | None,
        typer.Option(help="LR versions of --data: a folder with the same names, or a .npy file."),
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="A teacher's answers to --lr, in the same way.")
    ] = None,
    crop: Annotated[
        int | None, typer.Option(help="Side of crops from folders, in HR pixels.")
    ] = None,
    validation: Annotated[int | None, typer.Option(help="Pictures held out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/PRESET.")] = None,
    steps: Annotated[int | None, typer.Option(help="Replaces the preset's steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Replaces the preset's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Replaces the preset's.")] = None,
    init: Annotated[
        str | None, typer.Option(help="A trained model to start from: name, folder, owner/name.")
    ] = None,
    beta: Annotated[float | None, typer.Option(help="Final weight of the rate.")] = None,
    kl_warmup: Annotated[
        float | None, typer.Option(help="Share of the run by which beta has risen.")
    ] = None,
    free_bits: Annotated[float | None, typer.Option(help="Free bits per dim and group.")] = None,
    mse_weight: Annotated[float | None, typer.Option(help="Weight of the MSE term.")] = None,
    prior_weight: Annotated[
        float | None, typer.Option(help="Weight of the error at temperature 0.")
    ] = None,
    regression: Annotated[
        str | None, typer.Option(help="Trained network that gives an HVAE its base picture.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Weights of EfficientNet-Lite0, for a loss on features.")
    ] = None,
    feature_weight: Annotated[
        float | None, typer.Option(help="Weight of that loss at the end of the run.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, data order and noise.")] = 0,
    precision: Annotated[str, typer.Option(help="no, tf32, bf16 or fp16.")] = "no",
    accumulate: Annotated[int, typer.Option(help="Batches per optimiser step.")] = 1,
    channels_last: Annotated[bool, typer.Option(help="Channels-last memory layout.")] = False,
    compile: Annotated[bool, typer.Option(help="Use torch.compile.")] = False,
    max_minutes: Annotated[float | None, typer.Option(help="Stop in time, all saved.")] = None,
    anneal_minutes: Annotated[
        float | None, typer.Option(help="End, annealed, after so many minutes in all.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the newest checkpoint.")] = False,
    allow_changes: Annotated[
        bool, typer.Option(help="Resume with another recipe, seed, precision or data.")
    ] = False,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 500,
    push_to_hub: Annotated[
        str | None, typer.Option(help="owner/name to push to at the end.")
    ] = None,
) -> None:
    """Train a preset and leave a loadable model in OUT/model, curves and samples beside it."""
    if preset not in PRESETS:
        raise TrainingError(f"--preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    from hvae_sr.training.data import load_pictures
    from hvae_sr.training.loop import Trainer
    from hvae_sr.training.setup import Options

    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "crop": crop,
        "validation": validation,
        "init": init,
        "regression": regression,
        "feature_weight": feature_weight,
    }
    recipe = replace(PRESETS[preset], **{k: v for k, v in given.items() if v is not None})
    terms: dict[str, Any] = {
        "beta": beta,
        "warmup": kl_warmup,
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
    pictures = load_pictures(data, crop=recipe.crop, root=data_root, lr=lr, targets=targets)
    model = Trainer(recipe, pictures, options, _command()).run()
    if push_to_hub:
        model.push_to_hub(push_to_hub)


def _command() -> str:
    """The line that began this run, for the facts beside the model."""
    called = Path(sys.argv[0]).name
    start = ["python", "train.py"] if called == "train.py" else ["hvae-sr"]
    return shlex.join([*start, *sys.argv[1:]])
