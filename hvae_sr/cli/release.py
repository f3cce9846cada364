"""`hvae-sr list`, `card`, `showcase`, `release`: the shelf of trained models."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import app


@app.command("list")
def list_models() -> None:
    """The bundled models with their measured scores, as Markdown tables."""
    from hvae_sr.evaluation.cards import tables

    print("\n\n".join(tables()))


@app.command()
def card(folder: Annotated[Path, typer.Argument(help="A model folder.")]) -> None:
    """Rewrite a model folder's README.md from its training.json and results.json."""
    from hvae_sr.evaluation.cards import write_card

    write_card(folder)


@app.command()
def showcase(
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The picture to write.")],
    of: Annotated[str, typer.Option(help="thumbnails or photographs.")] = "thumbnails",
    cnn: Annotated[
        str | None, typer.Option(help="The regression network. [default: the bundled one]")
    ] = None,
    hvae: Annotated[
        str | None, typer.Option(help="The generative model. [default: the bundled one]")
    ] = None,
) -> None:
    """Draw the README's pictures with the bundled models, or with others."""
    from hvae_sr.evaluation.showcase import draw
    from hvae_sr.inference.files import save_picture

    named = {key: name for key, name in (("cnn", cnn), ("hvae", hvae)) if name is not None}
    save_picture(draw(of, **named), target)


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
