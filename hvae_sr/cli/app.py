"""The command's root, and the arguments that several commands share."""

from typing import Annotated

import typer

app = typer.Typer(
    help="Image super-resolution with CNNs, VAEs and hierarchical VAEs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Model = Annotated[str, typer.Argument(help="Bundled name, folder, or owner/name on a hub.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Seed = Annotated[int | None, typer.Option(help="Makes draws repeatable.")]
