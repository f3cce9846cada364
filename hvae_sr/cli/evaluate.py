"""`hvae-sr evaluate` and `hvae-sr benchmark`: scores, speed, memory."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import Device, Model, app


@app.command()
def evaluate(
    model: Model,
    data: Annotated[str, typer.Option(help="cifar10 (test split), a .npy file, or a folder.")],
    data_root: Annotated[Path, typer.Option(help="Where torchvision keeps CIFAR-10.")] = Path(
        "data"
    ),
    train_data: Annotated[
        str | None, typer.Option(help="cifar10 or a .npy file, for the linear-MMSE line.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many pictures.")] = None,
    iw: Annotated[int, typer.Option(help="Draws of the importance-weighted bound.")] = 1,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write OUT.json and OUT.md as well as printing.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Score a model beside interpolation, back-projection and linear MMSE."""
    from hvae_sr import data as sets
    from hvae_sr.evaluation import report
    from hvae_sr.hub import load

    loaded = load(model, device=device)
    references = report.load_references(data, loaded.scale, limit=limit, root=str(data_root))
    references = report.References([b.to(device) for b in references.batches], references.name)
    training = None
    if train_data is not None:
        training = (
            sets.cifar10(data_root, train=True)
            if train_data == "cifar10"
            else sets.load_array(Path(train_data))
        )
    result = report.evaluate(loaded, references, training=training, draws=iw, seed=seed)
    print(report.markdown(result))
    if out is not None:
        out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
        out.with_suffix(".md").write_text(report.markdown(result))


@app.command()
def benchmark() -> None:
    """Print speed and memory as ratios measured in one run on this machine."""
    from hvae_sr.evaluation.benchmark import main as run

    run()
