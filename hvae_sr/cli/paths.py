"""What the arguments of `upscale` name: inputs, outputs, and the standard streams."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hvae_sr.errors import ImageError

STREAM = Path("-")


def inputs_and_output(paths: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """Of two paths the last is the output, of more only where it is a folder, as `cp` has it.

    Raises:
        ImageError: for an input that does not exist, or a standard stream beside other inputs.
    """
    several = len(paths) > 2 and paths[-1].is_dir()
    output = paths[-1] if len(paths) == 2 or several else None
    inputs = list(paths if output is None else paths[:-1])
    if STREAM in inputs and len(inputs) > 1:
        raise ImageError("- is the standard input: name it alone")
    for path in inputs:
        if path != STREAM and not path.exists():
            more = ", or make that folder to write into it" if len(inputs) > 1 else ""
            raise ImageError(f"{path} does not exist{more}")
    return inputs, output


@contextmanager
def streams(source: Path, target: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """Files in place of `-`: the standard input is read first, the output written in the end.

    Raises:
        ImageError: when a folder or a movie is to be written to the standard output.
    """
    to_stdout = target == STREAM or (source == STREAM and target is None)
    with tempfile.TemporaryDirectory() as scratch:
        if source == STREAM:
            source = Path(scratch) / "stdin"
            with source.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        if not to_stdout:
            yield source, target
            return
        if source.is_dir():
            raise ImageError(f"{source} is a folder: name an output folder, not -")
        # The format of the input where it has a suffix, else PNG.
        written = Path(scratch) / "stdout"
        yield source, written
        for made in sorted(Path(scratch).glob("stdout*")):
            with made.open("rb") as whole:
                shutil.copyfileobj(whole, sys.stdout.buffer)
        sys.stdout.buffer.flush()
