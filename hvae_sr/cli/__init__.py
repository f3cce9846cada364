"""The `hvae-sr` command. Every failure is one sentence on stderr and exit code 2."""

import sys
import warnings
from typing import Any

import typer

from hvae_sr.allocator import keep_freed_memory
from hvae_sr.cli import (  # noqa: F401  (register)
    card,
    demo,
    evaluate,
    hub,
    sample,
    store,
    train,
    upscale,
)
from hvae_sr.cli.app import app
from hvae_sr.errors import HvaeSrError

_UsageError: Any = typer.BadParameter.__base__  # of the click that this typer is built on
INTERRUPTED = 130  # what shells report of a command that Ctrl-C ended


def main() -> None:
    """Run the command line and exit: 0 done, 1 partly done, 2 a user's error, 130 Ctrl-C."""
    sys.exit(run(sys.argv[1:] or ["--help"]))


def run(arguments: list[str], name: str = "hvae-sr") -> int:
    """Run a command; its exit code.

    Args:
        arguments: the command and its options.
        name: of the program, which stands before every message.
    """

    def say(message: object, *details: Any) -> None:
        print(f"{name}:", " ".join(str(message).split()), file=sys.stderr)

    keep_freed_memory()
    with warnings.catch_warnings():
        warnings.showwarning = say  # type: ignore[assignment]
        try:
            code = app(arguments, standalone_mode=False)
        except (KeyboardInterrupt, typer.Abort):
            return INTERRUPTED
        except (HvaeSrError, ValueError, OSError) as error:
            say(error)
            return 2
        except _UsageError as error:
            say(error.format_message())
            return 2
    return code if isinstance(code, int) else 0
