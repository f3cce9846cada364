"""The `hvae-sr` command. Every failure is one sentence on stderr and exit code 2."""

import io
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from hvae_sr.allocator import keep_freed_memory
from hvae_sr.cli import (  # noqa: F401  (register)
    card,
    demo,
    evaluate,
    hub,
    progress,
    sample,
    store,
    train,
    upscale,
)
from hvae_sr.cli.app import app
from hvae_sr.errors import HvaeSrError

_UsageError: Any = typer.BadParameter.__base__  # of the click that this typer is built on
ENDING = ("SIGTERM", "SIGHUP")
INTERRUPTED = 130  # what shells report of a command that Ctrl-C ended


def main() -> None:
    """Run the command line and exit: 0 done, 1 partly done, 2 a user's error, 130 Ctrl-C.

    SIGTERM and SIGHUP end it as Ctrl-C does, cleaned up, with 143 and 129.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    sys.exit(run(sys.argv[1:] or ["--help"]))


def run(arguments: list[str], name: str = "hvae-sr") -> int:
    """Run a command; its exit code.

    Args:
        arguments: the command and its options.
        name: of the program, which stands before every message.
    """

    def say(message: object, *details: Any) -> None:
        print(f"{name}:", " ".join(str(message).split()), file=sys.stderr)

    def warn(message: object, *details: Any) -> None:
        if not progress.is_quiet():
            say(message)

    keep_freed_memory()
    progress.set_level(progress.USUAL)
    with warnings.catch_warnings(), _ending_signals() as came:
        warnings.showwarning = warn  # type: ignore[assignment]
        try:
            code = app(arguments, prog_name="hvae-sr", standalone_mode=False)
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except (HvaeSrError, ValueError, OSError) as error:
            say(error)
            return 2
        except _UsageError as error:
            say(error.format_message())
            return 2
    if came:  # typer has made the code of Ctrl-C of it
        return 128 + came[0]
    return code if isinstance(code, int) else 0


@contextmanager
def _ending_signals() -> Iterator[list[int]]:
    """Interrupt, as Ctrl-C does, at signals that would end the process without its clearing up.

    Yields their numbers as they come, since click turns every interruption into one and the same.
    A signal that is ignored, as `nohup` has it, stays so; outside the main thread nothing changes.
    """
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ENDING:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
