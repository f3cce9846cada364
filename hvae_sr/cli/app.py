"""The command's root, and the arguments that several commands share."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hvae_sr.cli.progress import QUIET, VERBOSE, set_level
from hvae_sr.version import __version__

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
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # which takes "[...]" in a help text for markup and drops it
)
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Bundled name, folder, or owner/name (@revision) on a hub."
    ),
]
ModelOption = Annotated[
    str, typer.Option(help="Bundled name, folder, or owner/name (@revision) on a hub.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps; auto takes a GPU where there is one.")]
Seed = Annotated[int | None, typer.Option(help="Makes draws repeatable.", show_default="random")]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a repository.", show_default="main")
]
Token = Annotated[
    str | None,
    typer.Option(
        help="Access token of the hub.", show_default="HF_TOKEN, or that of `hf auth login`"
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell more.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell errors alone.")]


def _version(asked: bool) -> None:
    if asked:
        print(f"hvae-sr {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    set_verbosity(verbose, quiet)


def set_verbosity(verbose: bool, quiet: bool) -> None:
    """What -v and -q ask for, before the command or after it; neither leaves it as it is.

    Raises:
        ValueError: for both.
    """
    if verbose and quiet:
        raise ValueError("give -v or -q, not both")
    if verbose or quiet:
        set_level(VERBOSE if verbose else QUIET)
