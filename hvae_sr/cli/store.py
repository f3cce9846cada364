"""`hvae-sr shrink` and `restore`: images stored coarsely, and brought back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hvae_sr.cli.app import Device, ModelOption, Revision, Seed, Token, app
from hvae_sr.cli.models import AUTO, chosen_device, loaded
from hvae_sr.cli.upscale import DEFAULT_MODEL, DecodeOption, Dtype, Temperature, Tile

if TYPE_CHECKING:
    from hvae_sr.nn.latents import Decode

Overwrite = Annotated[bool, typer.Option(help="Replace an existing output.")]
SMALL = ".small"


@app.command()
def shrink(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="An image file.")],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUTPUT", help="A .png, .webp or .avif; INPUT.small.webp if absent."
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    revision: Revision = None,
    token: Token = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="png, webp or avif, where OUTPUT is absent.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="1 to 100 of a lossy codec, 90 if absent.")
    ] = None,
    lossless: Annotated[bool, typer.Option(help="Keep every pixel of the small image.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Store an image coarsely: small, and with a note of how to restore it."""
    from hvae_sr.errors import ImageError
    from hvae_sr.rescale import shrink_file

    if target is not None and kind is not None:
        raise ImageError("give OUTPUT or --format, not both: OUTPUT's suffix is the format")
    if target is None:
        target = source.with_name(f"{source.stem}{SMALL}.{kind or 'webp'}")
    network = loaded(model, "cpu", revision, token)
    shrink_file(source, target, network, quality=quality, lossless=lossless, overwrite=overwrite)
    before, after = source.stat().st_size, target.stat().st_size
    print(f"{source}: {before:,} bytes -> {target}: {after:,} bytes ({after / before:.1%})")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A file made by `shrink`.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="OUTPUT", help="The file to write; INPUT.restored.png if absent."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Another model of the same degradation than the noted one.")
    ] = None,
    temperature: Temperature = None,
    seed: Seed = None,
    decode: DecodeOption = None,
    consistent: Annotated[
        bool | None,
        typer.Option(
            help="Project onto the images that shrink to INPUT. After a lossy codec that is "
            "INPUT as decoded, its artefacts included.",
            show_default="no-consistent",
        ),
    ] = None,
    tile: Tile = None,
    dtype: Dtype = None,
    device: Device = AUTO,
    revision: Revision = None,
    token: Token = None,
    overwrite: Overwrite = False,
) -> None:
    """Bring an image made by `shrink` back, at the exact size of its original."""
    from hvae_sr.rescale import restore_file
    from hvae_sr.upscaling import UpscaleOptions

    options = UpscaleOptions().changed(
        {
            "temperature": temperature,
            "seed": seed,
            "decode": cast("Decode | None", decode),
            "consistent": consistent,
            "tile": tile,
            "dtype": dtype,
        }
    )
    if target is None:
        target = source.with_name(f"{source.stem.removesuffix(SMALL)}.restored.png")
    shrunk = restore_file(
        source,
        target,
        None if model is None else loaded(model, device, revision, token),
        options,
        device=chosen_device(device),
        overwrite=overwrite,
    )
    before, after = source.stat().st_size, target.stat().st_size
    print(
        f"{source}: {before:,} bytes -> {target}: {after:,} bytes, {shrunk.width}x{shrunk.height}"
    )
