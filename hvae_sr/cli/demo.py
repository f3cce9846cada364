"""`hvae-sr space` and `hvae-sr check-demo`: the demo elsewhere, and under load and bad input."""

from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import app


@app.command()
def space(
    target: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="The folder to write.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="A bundled name; may be given several times. [default: all]"),
    ] = None,
) -> None:
    """Write the demo as a Hugging Face Space: a folder that runs alone, to be pushed as it is."""
    from hvae_sr.demo.space import write_space

    write_space(target, model or ())
    print(target)


@app.command("check-demo")
def check_demo(
    requests: Annotated[
        int, typer.Option(min=20, help="Answers over which times and memory are watched.")
    ] = 200,
) -> None:
    """Start the demo, and print what load, attacks and faults do to it, as Markdown tables."""
    from hvae_sr.demo.check import report

    print(report(requests), end="")
