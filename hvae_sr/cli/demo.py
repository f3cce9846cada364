"""`hvae-sr demo` and `hvae-sr space`: the demo on this machine, and as a folder for another one."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import app


@app.command()
def demo(
    host: Annotated[
        str,
        typer.Option(
            envvar="GRADIO_SERVER_NAME", help="Address to listen on; 0.0.0.0 for all addresses."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=1, max=65535, envvar="GRADIO_SERVER_PORT", help="Port to listen on."),
    ] = 7860,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name that visitors may use, such as demo.example.org; may be given "
            "several times.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy, or a network of them, whose X-Forwarded headers are believed; may be "
            "given several times.",
        ),
    ] = None,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Serve the actions as tools for MCP clients too.")
    ] = False,
) -> None:
    """Serve the demo: upscale images and videos and draw samples in the browser."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an end that cleans up
    from hvae_sr.demo import launch  # gradio is slow to import: `--help` does without

    launch(
        host,
        port,
        mcp=mcp,
        allowed_hosts=allowed_host or (),
        trusted_proxies=trusted_proxy or (),
    )


@app.command()
def space(
    target: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="The folder to write.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="A bundled name; may be given several times.", show_default="all"),
    ] = None,
) -> None:
    """Write the demo as a Hugging Face Space: a folder that runs alone, to be pushed as it is."""
    from hvae_sr.demo.space import write_space

    write_space(target, model or ())
    print(target)
