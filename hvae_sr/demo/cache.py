"""Where uploads and answers lie: a folder of this process alone, swept by age.

gradio's own cache is one folder for all of a machine's demos, and its `delete_cache` knows only
files that an event handed over: not those of events that failed or were cancelled, nor folders.
"""

import asyncio
import atexit
import functools
import os
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr
from filelock import BaseFileLock, FileLock, Timeout

AGE = 3600  # seconds that uploads and answers stay
SHORTEST = 300  # the same, when the space is used up
PART_AGE = 60  # seconds after which an upload that gets no bytes is given up
PAUSE = 15
QUOTA = 2**31  # bytes of uploads and answers
LEAST = 2**16  # bytes that any file and folder counts as: many of them cost time and inodes
PREFIX = "hvae-sr-"
LOCK = ".hvae-sr-alive"  # a file in the folder that the living process holds a lock on
YOUNG = 1  # seconds in which a new folder gets its lock


@functools.cache
def own_folder() -> Path:
    """The folder, made on first use, and removed when the process ends."""
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
    lock = FileLock(folder / LOCK, thread_local=False)
    lock.acquire(blocking=False)
    atexit.register(_remove, folder, lock)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # gradio reads it whenever it needs the folder
    return folder


def _remove(folder: Path, lock: BaseFileLock) -> None:
    lock.release()  # some systems do not delete what is locked
    shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Delete the folders of servers that were killed: nobody holds their locks any more."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):  # gone meanwhile, another user's, or alive
            if _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Whether the server of a folder has ended.

    Raises:
        Timeout: when it has not.
    """
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
        return False
    lock, now = folder / LOCK, time.time()
    if not lock.exists() or now - lock.stat().st_mtime < YOUNG:
        return False
    with FileLock(lock, blocking=False):
        return True


def sweep(folder: Path, age: float, kept: Collection[str] = ()) -> list[str]:
    """Delete the files last written more than `age` seconds ago, and folders that stay empty.

    Args:
        kept: paths that stay; the lock in the folder always does.

    Returns:
        the paths of the files that are gone.
    """
    limit = time.time() - age
    kept = {str(folder / LOCK), *kept}  # not whatever a visitor calls so
    gone = []
    for parent, folders, files in os.walk(folder, topdown=False):
        for path in (Path(parent, name) for name in files):
            with suppress(FileNotFoundError):
                if str(path) not in kept and path.stat().st_mtime < limit:
                    path.unlink()
                    gone.append(str(path))
        for path in (Path(parent, name) for name in folders):
            with suppress(OSError):  # a folder in use is not empty
                if path.stat().st_mtime < limit:
                    path.rmdir()
    return gone


def sweep_parts(age: float) -> None:
    """Delete what broken uploads left: files beside the folders that whole ones are moved into."""
    limit = time.time() - age
    with suppress(FileNotFoundError), os.scandir(own_folder()) as entries:
        for entry in entries:
            if entry.is_file() and entry.name != LOCK and entry.stat().st_mtime <= limit:
                Path(entry).unlink(missing_ok=True)


def used(folder: Path) -> int:
    """Bytes of all files in a folder and the folders in it, each of which counts as `LEAST`."""
    total = 0
    for parent, folders, files in os.walk(folder):
        total += LEAST * len(folders)
        for name in files:
            with suppress(FileNotFoundError):
                total += max(LEAST, Path(parent, name).lstat().st_size)
    return total


def tidy(blocks: gr.Blocks) -> None:
    """Sweep the folder, except for the page's own examples, and let gradio forget what is gone.

    The fuller it is, the younger are the files that go. Left-overs of killed servers go too.
    """
    remove_leftovers(own_folder().parent)
    sweep_parts(PART_AGE)
    age = max(SHORTEST, AGE * (1 - used(own_folder()) / QUOTA))
    kept = {path for block in blocks.blocks.values() for path in block.keep_in_cache}
    gone = sweep(own_folder(), age, kept)
    for paths in blocks.temp_file_sets:
        paths.difference_update(gone)


def swept(blocks: gr.Blocks) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """What the server does beside serving, as a lifespan: `tidy`, again and again."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(PAUSE)
            await asyncio.to_thread(tidy, blocks)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(forever())
        try:
            yield
        finally:
            task.cancel()

    return lifespan
