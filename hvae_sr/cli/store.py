"""`hvae-sr shrink` and `restore`: pictures stored coarsely, and brought back."""

from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import Device, Seed, app

ModelOption = Annotated[str, typer.Option(help="Bundled name, folder, or owner/name.")]
Overwrite = Annotated[bool, typer.Option(help="Replace an existing output.")]
MODEL = "photo-cnn-x4"
SMALL = ".small"


@app.command()
def shrink(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture file.")],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUTPUT", help="A .png, .webp or .avif; INPUT.small.webp if absent."
        ),
    ] = None,
    model: ModelOption = MODEL,
    kind: Annotated[
        str | None, typer.Option("--format", help="png, webp or avif, where OUTPUT is absent.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="1 to 100 of a lossy codec, 90 if absent.")
    ] = None,
    lossless: Annotated[bool, typer.Option(help="Keep every pixel of the small picture.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Store a picture coarsely: small, and with a note of how to restore it."""
    from hvae_sr.errors import PictureError
    from hvae_sr.hub import load
    from hvae_sr.upscaling.rescale import shrink_file

    if target is not None and kind is not None:
        raise PictureError("give OUTPUT or --format, not both: OUTPUT's suffix is the format")
    if target is None:
        target = source.with_name(f"{source.stem}{SMALL}.{kind or 'webp'}")
    shrink_file(
        source, target, load(model), quality=quality, lossless=lossless, overwrite=overwrite
    )
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
    temperature: Annotated[
        float, typer.Option(help="0: best guess; 1: latents at full scale.")
    ] = 0.0,
    seed: Seed = None,
    consistent: Annotated[
        bool,
        typer.Option(
            help="Project onto the pictures that shrink to INPUT. After a lossy codec that is "
            "INPUT as decoded, its artefacts included."
        ),
    ] = False,
    tile: Annotated[int | None, typer.Option(help="Side of the tiles, in small pixels.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Bring a picture made by `shrink` back, at the exact size of its original."""
    from hvae_sr.hub import load
    from hvae_sr.upscaling.rescale import restore_file

    if target is None:
        target = source.with_name(f"{source.stem.removesuffix(SMALL)}.restored.png")
    shrunk = restore_file(
        source,
        target,
        None if model is None else load(model, device=device),
        temperature=temperature,
        seed=seed,
        consistent=consistent,
        tile=tile,
        dtype=dtype,
        device=device,
        overwrite=overwrite,
    )
    before, after = source.stat().st_size, target.stat().st_size
    print(
        f"{source}: {before:,} bytes -> {target}: {after:,} bytes, {shrunk.width}x{shrunk.height}"
    )
