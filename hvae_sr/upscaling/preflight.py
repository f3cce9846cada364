"""Checked before the work: that outputs can be written where they are to lie."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from hvae_sr.errors import ImageError

LEAST = 2**20  # bytes that must be free, whatever is written
NAME_MAX = 255  # bytes of a file's name, where the system does not say


Identities = dict[tuple[int, int], Path]


def identities(paths: Iterable[Path]) -> Identities:
    """Files by device and number, which all their names and links share."""
    return {_identity(path): path for path in paths if path.exists()}


def check_places(targets: Sequence[Path], inputs: Identities) -> None:
    """Refuse outputs that could not be written after the work, or that are inputs.

    Args:
        targets: files to be written.
        inputs: `identities` of the files that are read in the same run.

    Raises:
        ImageError: for an output that is an input, also by a link or by another name of it; a
            folder that may not be written to; a name that is too long; a disk without space.
    """
    for target in targets:
        _check_name(target)
        if target.exists() and (source := inputs.get(_identity(target))):
            raise ImageError(f"{target} is the input {source}: name another output")
    for folder in {_existing(target.parent) for target in targets}:
        check_folder(folder)


def check_folder(folder: Path) -> None:
    """Refuse a folder that files cannot be written to; one that does not exist, by its parents.

    Raises:
        ImageError: when it may not be written to, or its disk is full.
    """
    folder = _existing(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{folder} may not be written to: change its permissions")
    free = shutil.disk_usage(folder).free
    if free < LEAST:
        raise ImageError(f"the disk of {folder} has {free:,} bytes left: make room first")


def _check_name(target: Path) -> None:
    folder = _existing(target.parent)
    try:
        most = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows, or a file system that does not say
        most = NAME_MAX
    length = len(os.fsencode(target.name))
    if length > most:
        raise ImageError(
            f"the name {target.name[:40]}... has {length} bytes, and {most} are the most: name a "
            "shorter output"
        )


def _existing(folder: Path) -> Path:
    """A folder, or the first of those around it that exists."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
