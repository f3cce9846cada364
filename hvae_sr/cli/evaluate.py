"""`hvae-sr evaluate` and `hvae-sr benchmark`: scores, speed, memory."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import Device, Model, app


@app.command()
def evaluate(
    model: Model,
    data: Annotated[
        list[str],
        typer.Option(
            help="cifar10 (test split), a .npy file, or a folder, here or in --data-root; "
            "may be given several times."
        ),
    ],
    data_root: Annotated[
        Path, typer.Option(help="Where torchvision keeps CIFAR-10, and folders of --data lie.")
    ] = Path("data"),
    train_data: Annotated[
        str | None, typer.Option(help="cifar10 or a .npy file, for the linear-MMSE line.")
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="y (border shaved, as papers print photographs) or rgb. "
            "[default: y for folders, rgb for thumbnails]"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=2, help="Draws behind the mean. [default: 16, or 8 for photographs]"),
    ] = None,
    iw: Annotated[int, typer.Option(min=1, help="Draws of the importance-weighted bound.")] = 1,
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
    references = [
        report.load_references(source, loaded.scale, space=space, limit=limit, root=data_root)
        for source in data
    ]
    training = None
    if train_data is not None:
        training = (
            sets.cifar10(data_root, train=True)
            if train_data == "cifar10"
            else sets.load_array(Path(train_data))
        )
    results = report.evaluate_all(
        loaded, references, training=training, samples=samples, draws=iw, seed=seed
    )
    text = report.markdown(results)
    print(text)
    if out is not None:
        out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
        out.with_suffix(".md").write_text(text)


@app.command()
def benchmark(
    sections: Annotated[
        list[str] | None,
        typer.Argument(help="imports, tiling, speed, batches, training; all when left out."),
    ] = None,
) -> None:
    """Print speed and memory as ratios measured in one run on this machine."""
    from hvae_sr.evaluation.benchmark import SECTIONS
    from hvae_sr.evaluation.benchmark import main as run

    for name in sections or ():
        if name not in SECTIONS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(SECTIONS)}")
    run(sections or ())
