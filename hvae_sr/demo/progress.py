"""How far a job is, in words: steps done, time that passed, and about how much is left."""

import time
from collections.abc import Callable
from typing import Any

from hvae_sr.demo import jobs

LEAST_SHARE = 0.02  # of the work, before which nobody can say how long the rest takes

Report = Callable[..., Any]  # a gr.Progress, or what a test puts in its place


class Steps:
    """Tells a page how far the work is, and ends the work when nobody waits for it.

    Args:
        report: a gr.Progress.
        what: is being done.
        unit: what is counted.
    """

    def __init__(self, report: Report, what: str, unit: str = "tiles"):
        self._report, self._what, self._unit = report, what, unit
        self._start = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        """After a step: how many are done, of how many, as far as anybody knows.

        Raises:
            gr.Error: see `jobs.Job.check`.
        """
        jobs.check()
        passed = time.monotonic() - self._start
        words = [self._what, f"{clock(passed)} passed"]
        if total is not None and done > 0 and LEAST_SHARE <= done / total < 1:
            words.append(f"about {clock(passed / done * (total - done))} left")
        self._report((done, total), desc=", ".join(words), unit=self._unit)


def clock(seconds: float) -> str:
    """Seconds as people say them: "8 s", "2 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
