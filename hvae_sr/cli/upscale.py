"""`hvae-sr upscale`: images, folders of them and movies in, larger ones out."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hvae_sr.cli import progress
from hvae_sr.cli.app import (
    Device,
    ModelOption,
    Quiet,
    Revision,
    Seed,
    Token,
    Verbose,
    app,
    set_verbosity,
)
from hvae_sr.cli.models import AUTO, check_answers, loaded
from hvae_sr.cli.paths import STREAM, inputs_and_output, streams
from hvae_sr.errors import HvaeSrError

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
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT... [OUTPUT]",
            help="Images, folders of them, movies, or - for the standard input; then what to "
            "write: a file, a folder, or - for the standard output. Left out, and among more than "
            "two names no folder, outputs lie beside the inputs: NAME-x4, or the size.",
        ),
    ],
    model: ModelOption = DEFAULT_MODEL,
    revision: Revision = None,
    token: Token = None,
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
    device: Device = AUTO,
    dtype: Dtype = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Fit into 4k, 1080p, ... or WIDTHxHEIGHT. Larger inputs keep their size; a "
            "screen is turned for upright images."
        ),
    ] = None,
    quality: Quality = None,
    overwrite: Annotated[
        bool, typer.Option(help="Replace existing output; never an input.")
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Enlarge images, every image in a folder and the folders in it, or movies.

    A folder becomes the same tree in OUTPUT; a stopped run is continued by the same command.
    Exit code 1 means that some of several inputs could not be done, each named with the reason.
    """
    from hvae_sr.upscaling import UpscaleOptions
    from hvae_sr.upscaling.sizes import parse_size

    set_verbosity(verbose, quiet)
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
    inputs, output = inputs_and_output(paths)
    for source in inputs:
        _check_target(source, output, options.num_samples, overwrite)
    network = loaded(model, device, revision, token)
    check_answers(network, options)
    progress.detail(f"{network.name} on {network.device}")
    run = _Run(network, options, overwrite, inputs)
    codes = [_one(run, source, output, several=len(inputs) > 1) for source in inputs]
    if any(codes):
        raise typer.Exit(1)


def _check_target(source: Path, target: Path | None, samples: int, overwrite: bool) -> None:
    """Refuse wrong outputs before the model is loaded, which takes seconds.

    Raises:
        ImageError: see `folders.plan`, `check_folder` and `ensure_writable`.
    """
    from hvae_sr.imaging.files import ensure_writable
    from hvae_sr.imaging.formats import check_target
    from hvae_sr.imaging.video import is_movie
    from hvae_sr.upscaling.folders import plan
    from hvae_sr.upscaling.names import numbered
    from hvae_sr.upscaling.preflight import check_folder

    if source == STREAM or target == STREAM:
        return
    if source.is_dir():
        # A name that nobody gave depends on the model's scale: any that is free will do here.
        plan(source, target or source.resolve().with_name(f"{source.resolve().name}-upscaled"))
    elif target is None or target.is_dir():
        check_folder(target or source.parent)
    else:
        for path in numbered(target, samples):
            ensure_writable(path, overwrite)
        check_folder(target.parent)
        if not is_movie(source):
            check_target(target)


@dataclass(frozen=True)
class _Run:
    """One call of the command: what is the same for all its inputs."""

    model: "SuperResolutionModel"
    options: "UpscaleOptions"
    overwrite: bool
    inputs: list[Path]


def _one(run: _Run, source: Path, target: Path | None, several: bool) -> int:
    """Do one input; 1 when it could not be done, which among several stops no other.

    Raises:
        HvaeSrError, ValueError, OSError: where it is the only one.
    """
    start = time.monotonic()
    try:
        with streams(source, target) as (read, written):
            complete = _upscaled(run, read, written)
    except (HvaeSrError, OSError) as error:
        if not several:
            raise
        print(f"hvae-sr: {source}: {error}", file=sys.stderr)
        return 1
    progress.detail(f"{source}: {time.monotonic() - start:.1f} seconds")
    return int(not complete)


def _upscaled(run: _Run, source: Path, target: Path | None) -> bool:
    """Do one input; whether everything in it could be done."""
    from hvae_sr.imaging.video import is_movie
    from hvae_sr.upscaling.names import default_target

    usual = default_target(source, run.model, run.options)
    if source.is_dir():
        return _folder(run, source, usual if target is None else target)
    if target is None:
        target = usual
    elif target.is_dir():
        target = target / usual.name
    elif target.name == "stdout":
        target = target.with_suffix(usual.suffix)
    if is_movie(source):
        _movie(run, source, target)
    else:
        _image(run, source, target)
    return True


def _image(run: _Run, source: Path, target: Path) -> None:
    from hvae_sr.upscaling.images import upscale_file
    from hvae_sr.upscaling.names import numbered

    targets = numbered(target, run.options.num_samples)
    _check_places(run, source, targets)
    upscale_file(source, targets, run.model, run.options)
    for path in targets:
        _say_written(path)


def _movie(run: _Run, source: Path, target: Path) -> None:
    from hvae_sr.upscaling.video import upscale_movie

    _check_places(run, source, [target])
    with progress.progress("frame") as shown:
        upscale_movie(source, target, run.model, run.options, progress=shown)
    _say_written(target)


def _folder(run: _Run, source: Path, target: Path) -> bool:
    from hvae_sr.upscaling.folders import Outcome, upscale_folder

    done = 0
    with progress.progress("image") as shown:

        def report(outcome: Outcome, total: int) -> None:
            nonlocal done
            done += 1
            shown(done, total)
            if outcome.reason:
                shown.say(f"{outcome.source}: {outcome.reason}")

        result = upscale_folder(
            source, target, run.model, run.options, overwrite=run.overwrite, progress=report
        )
    for path in result.others:
        progress.note(f"{path} is not an image and was left alone")
    for path in result.unreadable:
        print(f"hvae-sr: {path} may not be read: change its permissions", file=sys.stderr)
    progress.done(
        f"{target}: {result.count('written')} written, {result.count('done')} already done, "
        f"{result.count('kept')} in the way, {result.count('failed')} failed, "
        f"{len(result.others)} not images"
    )
    return result.complete


def _check_places(run: _Run, source: Path, targets: list[Path]) -> None:
    from hvae_sr.imaging.files import ensure_writable
    from hvae_sr.upscaling.preflight import check_places, identities

    check_places(targets, identities([source, *run.inputs]))
    for path in targets:
        ensure_writable(path, run.overwrite)


def _say_written(path: Path) -> None:
    if path.stem.partition("-")[0] != "stdout":
        progress.done(path)
