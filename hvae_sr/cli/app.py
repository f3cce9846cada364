"""The command's root, and the arguments that several commands share."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

# In the order in which people need them.
COMMANDS = (
    "upscale",
    "sample",
    "demo",
    "list",
    "info",
    "shrink",
    "restore",
    "train",
    "evaluate",
    "card",
    "push",
    "space",
)
WHOLE = 200  # characters: more than any first sentence of a help text


class _Ordered(TyperGroup):
    """Lists the commands as `COMMANDS` does, each with its whole first sentence.

    Newer typers bring a click of their own, whose classes have no public name: hence `Any`.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMANDS.index)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [
            (name, self.commands[name].get_short_help_str(limit=WHOLE))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=_Ordered,
    help="Image super-resolution with CNNs, VAEs and hierarchical VAEs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # which takes "[...]" in a help text for markup and drops it
)
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Bundled name, folder, or owner/name on a hub.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Seed = Annotated[int | None, typer.Option(help="Makes draws repeatable.", show_default="random")]
