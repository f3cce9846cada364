"""`hvae-sr evaluate`: scores of a model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import Device, Model, Revision, Token, app
from hvae_sr.cli.models import AUTO, loaded


@app.command()
def evaluate(
    model: Model,
    data: Annotated[
        list[str],
        typer.Option(
            help="cifar10 (test split), a .npy file, or a folder of images, in the current folder "
            "or in --data-root; may be given several times."
        ),
    ],
    data_root: Annotated[
        Path, typer.Option(help="Where torchvision keeps CIFAR-10, and data sets may lie.")
    ] = Path("data"),
    train_data: Annotated[
        str | None,
        typer.Option(help="cifar10 or a .npy file: training images for the linear MMSE baseline."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="y (luma, border shaved, as papers score photographs) or rgb.",
            show_default="y for folders, rgb for thumbnails",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first LIMIT images.", show_default="all")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Outputs at temperature 1 behind the mean.",
            show_default="16, or 8 for photographs",
        ),
    ] = None,
    calibration_samples: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Samples of p(x | y) behind the calibration.",
            show_default="100, or 16 for photographs",
        ),
    ] = None,
    iw: Annotated[
        int, typer.Option(min=1, help="Posterior draws of the importance-weighted bound.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric on a trained network: feature-distance or frechet-distance (extra "
            "`metrics`), lpips, dists or fid (weights are downloaded at first use); may be given "
            "several times."
        ),
    ] = None,
    prior_samples: Annotated[
        int,
        typer.Option(
            min=0,
            help="Compare this many samples of p(x) with the data, and with --train-data where "
            "the data are few, by --metric frechet-distance or fid.",
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write OUT.json and OUT.md as well as printing.")
    ] = None,
    device: Device = AUTO,
    revision: Revision = None,
    token: Token = None,
) -> None:
    """Score a model beside interpolation, back-projection and linear MMSE.

    Generative models also get bits/dim, the texture of their samples and their calibration.
    """
    from hvae_sr.evaluation import references, report, tables

    network = loaded(model, device, revision, token)
    results = report.evaluate_all(
        network,
        [
            references.load_references(
                source, network.scale, space=space, limit=limit, root=data_root
            )
            for source in data
        ],
        training=references.load_training(train_data, data_root),
        samples=samples,
        calibration_samples=calibration_samples,
        draws=iw,
        seed=seed,
        metrics=metric or (),
        prior_samples=prior_samples,
    )
    text = tables.markdown(results)
    print(text)
    if out is not None:
        out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
        out.with_suffix(".md").write_text(text)
