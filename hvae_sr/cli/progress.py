"""What a command tells while it works, on stderr: as much as was asked for."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

QUIET, USUAL, VERBOSE = -1, 0, 1
EVERY = 30.0  # seconds between two lines where nobody sees a bar
_level = USUAL


def set_level(level: int) -> None:
    """Tell as much as this from now on: `QUIET`, `USUAL` or `VERBOSE`."""
    global _level
    _level = level


def is_quiet() -> bool:
    return _level == QUIET


def detail(text: str) -> None:
    """A line for those who asked for more."""
    if _level == VERBOSE:
        print(f"hvae-sr: {text}", file=sys.stderr)


def note(text: str) -> None:
    """A line on stderr that is no error."""
    if not is_quiet():
        print(f"hvae-sr: {text}", file=sys.stderr)


def done(text: object) -> None:
    """The result of a command, on stdout."""
    if not is_quiet():
        print(text)


class Progress:
    """A bar on a terminal, else the first line and then one every half minute.

    Args:
        unit: what is counted, such as "image".
    """

    def __init__(self, unit: str):
        from tqdm import tqdm

        self.unit, self.seen = unit, False
        self.terminal = sys.stderr.isatty()
        self.latest = -EVERY
        self.bar: Any = tqdm(unit=unit, disable=is_quiet() or not self.terminal)

    def __call__(self, count: int, total: int | None) -> None:
        """Tell how many are done."""
        self.bar.total = total
        self.bar.update(count - self.bar.n)
        now = time.monotonic()
        if self.terminal or is_quiet() or now - self.latest < EVERY:
            return
        self.latest = now
        print(f"hvae-sr: {self.unit} {count} of {total or 'an unknown number'}", file=sys.stderr)

    def say(self, text: str) -> None:
        """A line that the bar does not write over."""
        self.bar.write(f"hvae-sr: {text}", file=sys.stderr)


@contextmanager
def progress(unit: str) -> Iterator[Progress]:
    """A `Progress` that is cleared up in the end."""
    shown = Progress(unit)
    try:
        yield shown
    finally:
        shown.bar.close()
