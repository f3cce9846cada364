"""Work that can be stopped: when nobody waits for it, or when it takes too long.

A model asks between its layers whether to go on, so that large images end between two tiles and
everything else within one pass.
"""

import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from PIL import Image

from hvae_sr.demo import limits
from hvae_sr.demo.values import refusal
from hvae_sr.errors import HvaeSrError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel

LEAST_TIME = 60.0  # seconds that any job has
SLACK = 3  # by how much longer than measured a job may take, on a machine that is busy
PROBE = 32  # side in pixels of the image that models are measured on
SAMPLE = PROBE**2  # pixels that an unconditional sample counts as
PROBES = 2  # of which the faster one counts

UNHEARD = "nobody waited for this answer, so it was stopped: ask again, and stay connected"

current: ContextVar["Job | None"] = ContextVar("the job of this thread", default=None)
AT_ONCE = 2  # calls that run beside each other, of which one may be long
SHORT = 3e11  # operations of a call that others may wait for

_long = threading.Lock()
_costs: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()


class Job:
    """One call on its way, from its place in the queue to its answer."""

    def __init__(self) -> None:
        self._stopped = False
        self._seconds = float("inf")
        self._started = time.monotonic()

    def stop(self) -> None:
        """Let the work end as soon as it asks whether to go on."""
        self._stopped = True

    def limit(self, seconds: float) -> None:
        """Let the work end when it takes longer than this, counted from now."""
        self._seconds, self._started = seconds, time.monotonic()

    def check(self) -> None:
        """Go on, or not.

        Raises:
            gr.Error: in one sentence, when the work was stopped or takes too long.
        """
        if self._stopped:
            raise refusal(UNHEARD)
        if time.monotonic() - self._started > self._seconds:
            raise refusal(
                f"this took longer than {self._seconds:.0f} s, so it was stopped: ask for less, "
                "or try again when the demo is less busy"
            )


def check(*_: Any) -> None:
    """`Job.check` for the job of this thread, if it has one; takes what hooks are given."""
    if (job := current.get()) is not None:
        job.check()


def watch(models: Mapping[str, SuperResolutionModel]) -> None:
    """Let all these models ask before each of their layers whether to go on."""
    for model in models.values():
        for module in model.modules():
            module.register_forward_pre_hook(check)


def measure(model: SuperResolutionModel) -> float:
    """Seconds of this machine for each LR pixel of an answer, measured once and remembered."""
    if model not in _costs:
        _costs[model] = min(_probe(model) for _ in range(PROBES)) / PROBE**2
    return _costs[model]


def allow(work: Mapping[SuperResolutionModel, int]) -> None:
    """Give the job of this thread the time that its work needs, and more.

    Args:
        work: LR pixels of each model's answers together.
    """
    if (job := current.get()) is not None:
        needed = sum(measure(model) * pixels for model, pixels in work.items())
        job.limit(LEAST_TIME + SLACK * needed)


@contextmanager
def turn(work: Mapping[SuperResolutionModel, int]) -> Iterator[None]:
    """Work in the time that it needs, see `allow`, and let short work run beside long work.

    Of the calls that run at once one may be long, so that nobody waits for it.

    Raises:
        HvaeSrError: for long work while other long work runs.
    """
    allow(work)
    if sum(limits.operations(model) * pixels for model, pixels in work.items()) <= SHORT:
        yield
        return
    if not _long.acquire(blocking=False):
        raise HvaeSrError(
            "another large image is being upscaled: try again in a minute, or with a smaller image"
        )
    try:
        yield
    finally:
        _long.release()


def _probe(model: SuperResolutionModel) -> float:
    grey = np.full((PROBE, PROBE, 3), 99, np.uint8)
    start = time.perf_counter()
    if model.degradation is not None:
        model.upscale(Image.fromarray(grey), consistent=True)
    elif isinstance(model, GenerativeModel):
        model.sample(1, seed=0)
    return time.perf_counter() - start
