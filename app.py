"""Start the demo on the bundled weights: `python app.py`, offline, no account."""

from typing import Annotated

import typer

from hvae_sr.errors import HvaeSrError


def main(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
) -> None:
    """Upscale pictures and draw new ones in the browser."""
    from hvae_sr.demo import launch  # gradio is slow to import: `--help` does without

    try:
        launch(host, port)
    except (HvaeSrError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
