"""`hvae-sr card`, `showcase`, `release`: from a trained model to one that can be published."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import app


@app.command()
def card(folder: Annotated[Path, typer.Argument(help="A model folder.")]) -> None:
    """Rewrite README.md and samples.png of a folder from its notes.md and what was measured."""
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
    from hvae_sr.imaging.files import save_image

    named = {key: name for key, name in (("cnn", cnn), ("hvae", hvae)) if name is not None}
    save_image(draw(of, **named), target)


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
    from hvae_sr.hub import load
    from hvae_sr.models.latent import GenerativeModel
    from hvae_sr.storage.cards import TRAINING

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
