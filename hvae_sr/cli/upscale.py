"""`hvae-sr upscale`: images, folders of them and movies in, larger ones out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hvae_sr.cli.app import Device, Seed, app

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel
    from hvae_sr.nn.latents import Decode
    from hvae_sr.upscaling import UpscaleOptions

DEFAULT_MODEL = "photo-cnn-x4"

# Options left out are None: `UpscaleOptions` holds the defaults, `show_default` only tells them.
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="0: best guess; 1: latents at full scale.",
        show_default="0, or 0.8 for several",
    ),
]
DecodeOption = Annotated[
    str | None,
    typer.Option(
        "--decode",
        metavar="mean|sample",
        help="Above temperature 0: the expected image of the drawn latents, or one drawn from the "
        "likelihood too, grain included.",
        show_default="mean",
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(help="Side of the tiles in pixels of INPUT.", show_default="auto, by memory"),
]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16.", show_default="float32")
]
Quality = Annotated[int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF files.")]


@app.command()
def upscale(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="An image, a folder of them, or a movie.")
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
        int | None,
        typer.Option(min=1, help="Different outputs per image: OUT-1 to OUT-N.", show_default="1"),
    ] = None,
    temperature: Temperature = None,
    seed: Seed = None,
    decode: DecodeOption = None,
    consistent: Annotated[
        bool | None,
        typer.Option(help="Project onto LR-consistent images.", show_default="no-consistent"),
    ] = None,
    tile: Tile = None,
    device: Device = "cpu",
    dtype: Dtype = None,
    size: Annotated[
        str | None, typer.Option(help="Fit into 4k, 1080p, ... or WIDTHxHEIGHT.")
    ] = None,
    quality: Quality = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing output.")] = False,
) -> None:
    """Enlarge an image, every image in a folder and the folders in it, or a movie.

    A folder becomes the same tree in OUTPUT; a stopped run is continued by the same command.
    Exit code 1 means that some of its images could not be done, each named with the reason.
    """
    from hvae_sr.errors import ImageError
    from hvae_sr.hub import load
    from hvae_sr.imaging.video import is_movie
    from hvae_sr.upscaling import UpscaleOptions
    from hvae_sr.upscaling.names import default_target
    from hvae_sr.upscaling.sizes import parse_size

    options = UpscaleOptions().changed(
        {
            "num_samples": samples,
            "temperature": temperature,
            "seed": seed,
            "decode": cast("Decode | None", decode),
            "consistent": consistent,
            "tile": tile,
            "dtype": dtype,
            "size": parse_size(size) if size is not None else None,
            "quality": quality,
        }
    )
    if not source.exists():
        raise ImageError(f"{source} does not exist")
    loaded = load(model, device=device)
    target = target or default_target(source, loaded, options)
    if source.is_dir():
        _folder(source, target, loaded, options, overwrite)
        return
    if target.is_dir():
        target = target / default_target(source, loaded, options).name
    if is_movie(source):
        _movie(source, target, loaded, options, overwrite)
    else:
        _image(source, target, loaded, options, overwrite)


def _image(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    options: "UpscaleOptions",
    overwrite: bool,
) -> None:
    from hvae_sr.imaging.files import ensure_writable
    from hvae_sr.upscaling.images import upscale_file
    from hvae_sr.upscaling.names import numbered

    targets = numbered(target, options.num_samples)
    for path in targets:
        ensure_writable(path, overwrite)
    upscale_file(source, targets, model, options)
    for path in targets:
        print(path)


def _folder(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    options: "UpscaleOptions",
    overwrite: bool,
) -> None:
    from tqdm import tqdm

    from hvae_sr.upscaling.folders import Outcome, upscale_folder

    with tqdm(unit="image", disable=None) as bar:

        def report(outcome: Outcome, total: int) -> None:
            bar.total = total
            bar.update()
            if outcome.reason:
                bar.write(f"hvae-sr: {outcome.source}: {outcome.reason}", file=sys.stderr)

        result = upscale_folder(
            source, target, model, options, overwrite=overwrite, progress=report
        )
    for path in result.others:
        print(f"hvae-sr: {path} is not an image and was left alone", file=sys.stderr)
    print(
        f"{target}: {result.count('written')} written, {result.count('done')} already done, "
        f"{result.count('kept')} in the way, {result.count('failed')} failed, "
        f"{len(result.others)} not images"
    )
    if not result.complete:
        raise typer.Exit(1)


def _movie(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    options: "UpscaleOptions",
    overwrite: bool,
) -> None:
    from tqdm import tqdm

    from hvae_sr.imaging.files import ensure_writable
    from hvae_sr.upscaling.video import upscale_movie

    ensure_writable(target, overwrite)
    with tqdm(unit="frame", disable=None) as bar:

        def report(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        upscale_movie(source, target, model, options, progress=report)
    print(target)
