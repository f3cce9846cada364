"""The `hvae-sr` command. Every failure is one sentence on stderr and exit code 2."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.errors import HvaeSrError

app = typer.Typer(
    help="Image super-resolution with CNNs, VAEs and hierarchical VAEs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Model = Annotated[str, typer.Argument(help="Bundled name, folder, or owner/name on a hub.")]


@app.command()
def upscale(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture file.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to write.")],
    model: Annotated[str, typer.Option(help="Bundled name, folder, or owner/name.")] = (
        "srcnn-cifar10-x4"
    ),
    temperature: Annotated[float, typer.Option(help="0: best guess; 1: a true sample.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes draws repeatable.")] = None,
    consistent: Annotated[bool, typer.Option(help="Project onto LR-consistent pictures.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing output.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Enlarge one picture."""
    from hvae_sr.errors import PictureError
    from hvae_sr.hub import load
    from hvae_sr.inference.files import open_picture, save_picture

    if target.exists() and not overwrite:
        raise PictureError(f"{target} exists: add --overwrite to replace it")
    image = open_picture(source)
    answer = load(model, device=device).upscale(
        image, temperature=temperature, seed=seed, consistent=consistent
    )
    save_picture(answer, target)


@app.command()
def sample(
    model: Model,
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The grid to write.")],
    count: Annotated[int, typer.Option(help="How many pictures.")] = 16,
    temperature: Annotated[float, typer.Option(help="Scale of the latent deviations.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes draws repeatable.")] = None,
) -> None:
    """Draw pictures from nothing, as one grid."""
    from torchvision.utils import make_grid

    from hvae_sr.errors import ModelError
    from hvae_sr.generative import GenerativeModel
    from hvae_sr.hub import load
    from hvae_sr.inference.files import save_picture
    from hvae_sr.pictures import to_image

    loaded = load(model)
    if not isinstance(loaded, GenerativeModel):
        raise ModelError(f"{model} is deterministic and has no prior to sample from")
    pictures = loaded.sample(count, temperature=temperature, seed=seed)
    save_picture(to_image(make_grid(pictures, nrow=round(count**0.5) or 1)), target)


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
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
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
def card(folder: Annotated[Path, typer.Argument(help="A model folder.")]) -> None:
    """Rewrite a model folder's README.md from its training.json and results.json."""
    from hvae_sr.evaluation.cards import write_card

    write_card(folder)


@app.command("list")
def list_models() -> None:
    """The bundled models with their measured scores, as a Markdown table."""
    from hvae_sr.evaluation.cards import table

    print(table())


@app.command()
def showcase(
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The picture to write.")],
) -> None:
    """Draw the README's picture with the bundled models."""
    from hvae_sr.evaluation.showcase import showcase as draw
    from hvae_sr.inference.files import save_picture

    save_picture(draw(), target)


@app.command()
def release(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model: RUN/model.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The folder to write.")],
    prior: Annotated[
        Path | None, typer.Option(help="Folder of a model p(y) of LR pictures to join.")
    ] = None,
) -> None:
    """Write a trained model for publishing: 16-bit weights, p(y) joined, training facts kept."""
    from hvae_sr.errors import ModelError
    from hvae_sr.evaluation.cards import TRAINING
    from hvae_sr.generative import GenerativeModel
    from hvae_sr.hub import load

    released = load(model)
    facts = json.loads((model / TRAINING).read_text())
    if prior is not None:
        joined = load(prior)
        if not isinstance(released, GenerativeModel) or not isinstance(joined, GenerativeModel):
            raise ModelError("only generative models take a p(y)")
        released = released.with_lr_prior(joined)
        facts["lr_prior"] = json.loads((prior / TRAINING).read_text())
    released.half().save_pretrained(target)
    (target / TRAINING).write_text(json.dumps(facts, indent=2) + "\n")


@app.command()
def benchmark() -> None:
    """Print speed and memory as ratios measured in one run on this machine."""
    from hvae_sr.evaluation.benchmark import main as run

    run()


def main() -> None:
    try:
        app()
    except (HvaeSrError, ValueError) as error:
        print(f"hvae-sr: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
