"""`hvae-sr upscale`: pictures, folders and movies in, larger ones out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hvae_sr.cli.app import Device, Seed, app

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel
    from hvae_sr.upscaling.images import Settings

DEFAULT_MODEL = "photo-cnn-x4"


@app.command()
def upscale(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A picture, a folder of them, or a movie.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUTPUT]",
            help="What to write; left out, INPUT's name with -x4 (or the size) beside it.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Bundled name, folder, or owner/name.")
    ] = DEFAULT_MODEL,
    samples: Annotated[
        int, typer.Option(min=1, help="Different answers per picture: OUT-1 to OUT-N.")
    ] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="0: best guess; 1: latents at full scale. [default: 0, or 0.8 for several]",
        ),
    ] = None,
    seed: Seed = None,
    consistent: Annotated[bool, typer.Option(help="Project onto LR-consistent pictures.")] = False,
    tile: Annotated[
        int | None, typer.Option(help="Side of the tiles in pixels of INPUT; chosen by memory.")
    ] = None,
    device: Device = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    size: Annotated[
        str | None, typer.Option(help="Fit into 4k, 1080p, ... or WIDTHxHEIGHT.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF files.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing output.")] = False,
) -> None:
    """Enlarge a picture, every picture in a folder and the folders in it, or a movie.

    A folder becomes the same tree in OUTPUT; a stopped run is continued by the same command.
    Exit code 1 means that some of its pictures could not be done, each named with the reason.
    """
    from hvae_sr.errors import ImageError
    from hvae_sr.hub import load
    from hvae_sr.imaging.video import is_movie
    from hvae_sr.upscaling.images import Settings, default_target
    from hvae_sr.upscaling.sizes import parse_size

    settings = Settings(
        samples=samples,
        temperature=temperature,
        seed=seed,
        consistent=consistent,
        tile=tile,
        dtype=dtype,
        size=parse_size(size) if size is not None else None,
        quality=quality,
    )
    if not source.exists():
        raise ImageError(f"{source} is not there")
    loaded = load(model, device=device)
    target = target or default_target(source, loaded, settings)
    if source.is_dir():
        _folder(source, target, loaded, settings, overwrite)
        return
    if target.is_dir():
        target = target / default_target(source, loaded, settings).name
    if is_movie(source):
        _movie(source, target, loaded, settings, overwrite)
    else:
        _picture(source, target, loaded, settings, overwrite)


def _picture(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    settings: "Settings",
    overwrite: bool,
) -> None:
    from hvae_sr.imaging.files import ensure_writable
    from hvae_sr.upscaling.images import numbered, upscale_file

    targets = numbered(target, settings.samples)
    for path in targets:
        ensure_writable(path, overwrite)
    upscale_file(source, targets, model, settings)
    for path in targets:
        print(path)


def _folder(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    settings: "Settings",
    overwrite: bool,
) -> None:
    from tqdm import tqdm

    from hvae_sr.upscaling.folders import Outcome, upscale_folder

    with tqdm(unit="picture", disable=None) as bar:

        def report(outcome: Outcome, total: int) -> None:
            bar.total = total
            bar.update()
            if outcome.reason:
                bar.write(f"hvae-sr: {outcome.source}: {outcome.reason}", file=sys.stderr)

        result = upscale_folder(
            source, target, model, settings, overwrite=overwrite, progress=report
        )
    for path in result.others:
        print(f"hvae-sr: {path} is no picture and was left alone", file=sys.stderr)
    print(
        f"{target}: {result.count('written')} written, {result.count('done')} already done, "
        f"{result.count('kept')} in the way, {result.count('failed')} failed, "
        f"{len(result.others)} no pictures"
    )
    if not result.complete:
        raise typer.Exit(1)


def _movie(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    settings: "Settings",
    overwrite: bool,
) -> None:
    from tqdm import tqdm

    from hvae_sr.errors import ImageError
    from hvae_sr.imaging.files import ensure_writable
    from hvae_sr.upscaling.video import upscale_movie

    if settings.samples > 1 or settings.quality is not None:
        raise ImageError(f"{source} is a movie: leave --samples and --quality out")
    ensure_writable(target, overwrite)
    seed = settings.drawn().seed
    with tqdm(unit="frame", disable=None) as bar:

        def report(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        upscale_movie(
            source,
            target,
            model,
            temperature=settings.heat,
            seed=seed if seed is not None else 0,
            consistent=settings.consistent,
            tile=settings.tile,
            dtype=settings.dtype,
            size=settings.size,
            progress=report,
        )
    print(target)
