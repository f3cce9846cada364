"""Files and folders that appear whole or not at all, and are on the disk when they do.

A kill, a full disk or an exception in the middle leaves what was there before as it was.
"""

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What file systems of networks, phones and FUSE say of a call that they do not have.
UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY)


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield the path of a scratch file beside `target`, which becomes it when the block succeeds.

    The block writes the scratch file. Nothing of it is left when the block fails.

    Raises:
        OSError: when the disk refuses the file, or the block has not written it.
    """
    scratch = target.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        yield scratch
        sync(scratch)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder, whose files replace those in `target` when the block succeeds.

    Other files of `target` stay.

    Raises:
        OSError: when the disk refuses the files.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        yield folder
        mode = _usual_mode(Path(scratch))
        for file in folder.iterdir():
            file.chmod(mode)  # safetensors' own writer lets nobody else read what it writes
            sync(file)
        target.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.replace(target / file.name)


def _usual_mode(folder: Path) -> int:
    """The permissions that files get here, which only making one tells without a race."""
    probe = folder / "probe"
    probe.touch()
    return probe.stat().st_mode & 0o777


def sync(file: Path) -> None:
    """Make sure that a file has reached the disk, as far as its file system knows how to.

    Raises:
        OSError: when the disk refuses the file.
    """
    with file.open("rb+") as handle:
        try:
            os.fsync(handle.fileno())
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
