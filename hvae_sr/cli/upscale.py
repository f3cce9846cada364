"""`hvae-sr upscale`: files in, larger files out."""

from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import Device, Seed, app


@app.command()
def upscale(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture file.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to write.")],
    model: Annotated[str, typer.Option(help="Bundled name, folder, or owner/name.")] = (
        "srcnn-cifar10-x4"
    ),
    temperature: Annotated[float, typer.Option(help="0: best guess; 1: a true sample.")] = 0.0,
    seed: Seed = None,
    consistent: Annotated[bool, typer.Option(help="Project onto LR-consistent pictures.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing output.")] = False,
    device: Device = "cpu",
) -> None:
    """Enlarge one picture."""
    from hvae_sr.errors import PictureError
    from hvae_sr.hub import load
    from hvae_sr.inference.files import open_picture, save_picture

    if target.exists() and not overwrite:
        raise PictureError(f"{target} exists: add --overwrite to replace it")
    image = open_picture(source)
    answer = load(model, device=device).upscale(
        image, temperature=temperature, seed=seed, consistent=consistent
    )
    save_picture(answer, target)
