"""Start the demo on the bundled weights: `python app.py`, offline, no account."""

import signal
import sys
from typing import Annotated

import typer

from hvae_sr.errors import HvaeSrError


def main(
    host: Annotated[
        str,
        typer.Option(envvar="GRADIO_SERVER_NAME", help="Address to listen on; 0.0.0.0 for all."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=1, max=65535, envvar="GRADIO_SERVER_PORT", help="Port to listen on."),
    ] = 7860,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that visitors may ask for, such as demo.example.org; may be repeated.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy whose word about who asks is taken, or a network; may be repeated.",
        ),
    ] = None,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Serve the actions as tools for MCP clients too.")
    ] = False,
) -> None:
    """Upscale images and movies and draw unconditional samples in the browser."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an end that cleans up
    try:
        from hvae_sr.demo import launch  # gradio is slow to import: `--help` does without

        launch(
            host,
            port,
            mcp=mcp,
            allowed_hosts=allowed_host or (),
            trusted_proxies=trusted_proxy or (),
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (HvaeSrError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
