"""`hvae-sr card`: from a trained and measured model to one that can be published."""

from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import app


@app.command()
def card(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A model folder, with training.json, the results.json of `hvae-sr evaluate --out "
            "FOLDER/results`, and a notes.md that describes the model in a paragraph.",
        ),
    ],
) -> None:
    """Write the model card of a folder: README.md and samples.png, from what was measured."""
    from hvae_sr.evaluation.cards import write_card

    write_card(folder)
    print(folder / "README.md")
