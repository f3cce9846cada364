"""`hvae-sr evaluate`, `family`, `ablate` and `benchmark`: scores, comparisons, speed, memory."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hvae_sr.cli.app import Device, Model, app

if TYPE_CHECKING:
    from torch import Tensor

DataRoot = Annotated[
    Path, typer.Option(help="Where torchvision keeps CIFAR-10, and folders of --data lie.")
]
TrainData = Annotated[
    str | None, typer.Option(help="cifar10 or a .npy file, for the linear-MMSE line.")
]


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
    data_root: DataRoot = Path("data"),
    train_data: TrainData = None,
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
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="One that needs a trained network: feature-distance or frechet-distance (extra "
            "`metrics`), lpips, dists or fid (weights downloaded at first use); may be given "
            "several times."
        ),
    ] = None,
    prior_samples: Annotated[
        int,
        typer.Option(
            min=0,
            help="Compare so many samples of p(x) with the data, and --train-data where that is "
            "few, by --metric frechet-distance or fid.",
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write OUT.json and OUT.md as well as printing.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Score a model beside interpolation, back-projection and linear MMSE.

    Of generative models also bits/dim, the texture of samples and their calibration.
    """
    from hvae_sr.evaluation import report
    from hvae_sr.hub import load

    loaded = load(model, device=device)
    references = [
        report.load_references(source, loaded.scale, space=space, limit=limit, root=data_root)
        for source in data
    ]
    training = _training(train_data, data_root)
    results = report.evaluate_all(
        loaded,
        references,
        training=training,
        samples=samples,
        draws=iw,
        seed=seed,
        metrics=metric or (),
        prior_samples=prior_samples,
    )
    text = report.markdown(results)
    print(text)
    if out is not None:
        out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
        out.with_suffix(".md").write_text(text)


@app.command()
def family(
    data: Annotated[str, typer.Option(help="cifar10 (test split) or a .npy file of thumbnails.")],
    data_root: DataRoot = Path("data"),
    train_data: TrainData = None,
    limit: Annotated[int, typer.Option(min=1, help="Only the first so many.")] = 1_000,
    iw: Annotated[int, typer.Option(min=1, help="Draws of the importance-weighted bound.")] = 100,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    refresh: Annotated[bool, typer.Option(help="Measure every model anew.")] = False,
    out: Annotated[Path | None, typer.Option(help="The page to write as well as print.")] = None,
) -> None:
    """Compare all bundled thumbnail models: cost, likelihood, pictures, latents.

    A model whose results.json is of other weights, pictures or draws is measured anew, which takes
    minutes and replaces that file and the model's card; a stopped run goes on where it was.
    """
    from hvae_sr.evaluation import family as shelf
    from hvae_sr.evaluation import report

    members = shelf.gather(
        report.load_references(data, shelf.TASK.scale, space="rgb", limit=limit, root=data_root),
        training=_training(train_data, data_root),
        draws=iw,
        seed=seed,
        refresh=refresh,
        say=lambda message: print(f"hvae-sr: {message}", file=sys.stderr),
    )
    sources = f"--data {Path(data).name}"
    if train_data is not None:
        sources += f" --train-data {Path(train_data).name}"
    text = shelf.page(members, f"hvae-sr family {sources} --limit {limit} --iw {iw} --seed {seed}")
    print(text)
    if out is not None:
        out.write_text(text)


@app.command()
def ablate(
    data: Annotated[str, typer.Option(help="To train on: as train.py takes it.")],
    test: Annotated[str, typer.Option(help="cifar10 (test split) or a .npy file.")],
    data_root: Annotated[Path, typer.Option(help="Where torchvision keeps CIFAR-10.")] = Path(
        "data"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Of each variant.")] = 150,
    limit: Annotated[int, typer.Option(min=1, help="Only the first test pictures.")] = 1_000,
    runs: Annotated[Path, typer.Option(help="Keeps finished variants.")] = Path("runs/ablation"),
    out: Annotated[Path, typer.Option(help="OUT.md and OUT.png are written.")] = Path(
        "docs/ablation"
    ),
) -> None:
    """Train variants of the study's VAE: when it goes grey, and what cures it.

    Variants that were trained before with the same settings are not trained again.
    """
    from hvae_sr.evaluation import ablation
    from hvae_sr.evaluation.report import load_references
    from hvae_sr.imaging.files import save_image
    from hvae_sr.training.data import load_pictures

    variants = [variant for part in ablation.VARIANTS.values() for variant in part]
    bench = ablation.Bench(
        load_pictures(data, root=data_root),
        load_references(test, 4, space="rgb", limit=limit, root=data_root),
        steps,
        runs,
    )
    outcomes = ablation.run(bench, variants)
    sources = f"--data {Path(data).name} --test {Path(test).name}"
    command = f"hvae-sr ablate {sources} --steps {steps} --limit {limit}"
    sheet = out.with_suffix(".png")
    save_image(ablation.sheet(bench, variants), sheet)
    out.with_suffix(".md").write_text(ablation.page(bench, outcomes, command, sheet.name))
    print(out.with_suffix(".md"))


def _training(source: str | None, root: Path) -> "Tensor | None":
    """The pictures behind the linear-MMSE line, if any are named."""
    from hvae_sr.training import data as sets

    if source is None:
        return None
    return sets.cifar10(root, train=True) if source == "cifar10" else sets.load_array(Path(source))


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
