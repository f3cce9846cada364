"""The `hvae-sr` command. Every failure is one sentence on stderr and exit code 2."""

import sys
import warnings
from typing import Any

import typer

from hvae_sr.cli import demo, evaluate, hub, release, sample, store, upscale  # noqa: F401  (register)
from hvae_sr.cli.app import app
from hvae_sr.errors import HvaeSrError

_UsageError: Any = typer.BadParameter.__base__  # of the click that this typer is built on
INTERRUPTED = 130  # what shells report of a command that Ctrl-C ended


def main() -> None:
    """Run the command line and exit: 0 done, 1 partly done, 2 a user's error, 130 Ctrl-C."""
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning  # type: ignore[assignment]
        sys.exit(_run(sys.argv[1:] or ["--help"]))


def _run(arguments: list[str]) -> int:
    try:
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (HvaeSrError, ValueError, OSError) as error:
        _say(error)
        return 2
    except _UsageError as error:
        _say(error.format_message())
        return 2
    return code if isinstance(code, int) else 0


def _say(message: object) -> None:
    print("hvae-sr:", " ".join(str(message).split()), file=sys.stderr)


def _say_warning(message: Warning | str, *details: Any) -> None:
    _say(message)
