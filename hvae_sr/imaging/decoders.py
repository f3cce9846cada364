"""Processes that decode images: what a decoder does wrong, or for too long, ends with it.

Decoders are C code that no exception interrupts, so that a file made for it blocks a process for
minutes. In a process of its own a decoder can be killed: after its time by a deadline, at once by
Ctrl-C. A process that has done its work waits for the next file, which costs it a millisecond.
"""

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import hvae_sr
from hvae_sr.errors import ImageError
from hvae_sr.imaging.decoding import Decoded, Request
from hvae_sr.imaging.worker import receive, send

MOST = min(4, os.cpu_count() or 1)  # processes at a time
PATIENCE = 4  # times the processor time that a budget has, by the clock


class Decoder:
    """One process. Ctrl-C does not reach it, and it ends with the process that asks."""

    def __init__(self) -> None:
        # This very package, wherever it was imported from.
        paths = [str(Path(hvae_sr.__file__).parent.parent), *(path for path in sys.path if path)]
        self.late = False
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hvae_sr.imaging.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # codecs chatter there
            # One thread: a decoder's budget of memory counts the stacks of all.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def ask(self, request: Request) -> Decoded:
        """The image.

        Raises:
            ImageError: when the process refuses it, takes too long, or breaks down.
        """
        assert self.process.stdin and self.process.stdout
        budget = request.budget
        try:
            with self._deadline(budget.seconds * PATIENCE if budget else None):
                cost = asdict(budget) if budget else None
                send(self.process.stdin, (request.path, request.largest, cost, request.frames))
                found, pixels = receive(self.process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise ImageError(self._ended(request)) from error
        if isinstance(found, str):
            raise ImageError(found)
        return Decoded(**found, pixels=pixels)

    def kill(self) -> int:
        """End the process, whatever it does: its exit code, or minus the signal that ended it."""
        self.process.kill()
        code = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # what was not sent cannot be
                assert stream is not None
                stream.close()
        return code

    @contextmanager
    def _deadline(self, seconds: float | None) -> Iterator[None]:
        if seconds is None:
            yield
            return

        def expire() -> None:
            self.late = True
            self.process.kill()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _ended(self, request: Request) -> str:
        """Why the process is no more."""
        name, code = Path(request.path).name, self.kill()
        spent = hasattr(signal, "SIGPROF") and code == -signal.SIGPROF
        if request.budget is not None and (self.late or spent):
            return (
                f"{name} takes more than {request.budget.seconds:g} seconds to decode: export it "
                "again from its source"
            )
        return f"{name} is damaged, its decoder broke down: export it again from its source"


class Pool:
    """Decoders, at most `most` at a time, started when they are needed and kept for more work."""

    def __init__(self, most: int):
        self.most = most
        self.forget()

    def forget(self) -> None:
        """Know of no decoder: two processes must not talk to the same ones."""
        self._free = threading.Semaphore(self.most)
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []
        self._busy: set[Decoder] = set()

    def decode(self, request: Request) -> Decoded:
        """See `decode`. Whatever is raised meanwhile, Ctrl-C too, ends the decoder."""
        with self._free:
            decoder = self._taken()
            try:
                return decoder.ask(request)
            except ImageError:
                raise
            except BaseException:
                decoder.kill()
                raise
            finally:
                self._back(decoder)

    def close(self) -> None:
        """End all decoders; who waits for one is told that it broke down."""
        with self._lock:
            for decoder in self._idle:
                decoder.kill()
            self._idle = []
            for decoder in self._busy:
                decoder.process.kill()

    def _taken(self) -> Decoder:
        with self._lock:
            living = [each for each in self._idle if each.process.poll() is None]
            for dead in set(self._idle) - set(living):
                dead.kill()
            decoder = living.pop() if living else Decoder()
            self._idle = living
            self._busy.add(decoder)
            return decoder

    def _back(self, decoder: Decoder) -> None:
        with self._lock:
            self._busy.discard(decoder)
            if decoder.process.poll() is None:
                self._idle.append(decoder)


_pool = Pool(MOST)
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def decode(request: Request) -> Decoded:
    """Decode one file in a process of its own, which the budget's time or Ctrl-C ends.

    Raises:
        ImageError: see `hvae_sr.imaging.files.open_image`.
    """
    return _pool.decode(request)


def close() -> None:
    """End every process that decodes, in mid-work too; later calls start new ones."""
    _pool.close()
