"""A decoder's process: `python -m hvae_sr.imaging.worker`. See `decoders`, which starts it.

Requests come in by the standard input, answers leave by what was the standard output. Answers are
plain values: the process that reads them runs no code of a process that strangers' files went
through.
"""

import dataclasses
import io
import os
import pickle
import queue
import signal
import struct
import sys
import threading
from typing import IO, Any

from hvae_sr.errors import ImageError
from hvae_sr.imaging.budget import Budget
from hvae_sr.imaging.decoding import Decoded, Request, decode

_LENGTHS = struct.Struct("!QQ")  # of the pickled value, and of the bytes behind it


def send(stream: IO[bytes], value: Any, load: bytes = b"") -> None:
    """Write a value of built-in types and the bytes that belong to it."""
    head = pickle.dumps(value)
    stream.write(_LENGTHS.pack(len(head), len(load)))
    stream.write(head)
    stream.write(load)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Any, bytes]:
    """What `send` wrote.

    Raises:
        EOFError: when the other side has ended.
        pickle.UnpicklingError: for anything but built-in types.
    """
    head, load = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    return _Plain(io.BytesIO(_read(stream, head))).load(), _read(stream, load)


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no built-in type")


def _read(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def main() -> None:
    """Decode one file after another until the standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  (libraries print to it)
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=[requests], daemon=True).start()
    while True:
        _answer(answers, requests.get())


def _listen(requests: "queue.SimpleQueue[Request]") -> None:
    """In a thread, so that the process ends with the one that asks, in mid-work too."""
    try:
        while True:
            path, largest, budget, frames = receive(sys.stdin.buffer)[0]
            requests.put(Request(path, largest, Budget(**budget) if budget else None, frames))
    finally:
        os._exit(0)


def _answer(answers: IO[bytes], request: Request) -> None:
    _bound(request.budget)
    try:
        decoded: Decoded | None = decode(request)
        sentence = ""
    except ImageError as error:
        decoded, sentence = None, str(error)
    _bound(None)
    if decoded is None:
        send(answers, sentence)
        return
    fields = {f.name: getattr(decoded, f.name) for f in dataclasses.fields(decoded)}
    pixels = fields.pop("pixels")
    send(answers, fields, pixels)


def _bound(budget: Budget | None) -> None:
    """Let the system end this process when it exceeds its time, and refuse it more memory."""
    if hasattr(signal, "setitimer"):  # elsewhere the clock of the other side must do
        signal.setitimer(signal.ITIMER_PROF, budget.seconds if budget else 0)
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (budget.memory if budget else most, most))


if __name__ == "__main__":
    main()
