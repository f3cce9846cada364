"""Three stages side by side: two threads and the caller's, joined by short queues."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

DEPTH = 4  # items in each queue
_END = object()


class _StoppedError(Exception):
    """Another stage has failed: this one ends."""


class _Line:
    def __init__(self) -> None:
        self.stop = threading.Event()
        self.errors: list[BaseException] = []

    def put(self, items: queue.Queue[Any], item: Any) -> None:
        while not self.stop.is_set():
            try:
                return items.put(item, timeout=0.1)
            except queue.Full:
                continue
        raise _StoppedError

    def get(self, items: queue.Queue[Any]) -> Any:
        while not self.stop.is_set():
            try:
                return items.get(timeout=0.1)
            except queue.Empty:
                continue
        raise _StoppedError

    def feed(self, items: queue.Queue[Any], source: Iterable[Any]) -> None:
        for item in source:
            self.put(items, item)
        self.put(items, _END)

    def drain(self, items: queue.Queue[Any]) -> Iterator[Any]:
        while (item := self.get(items)) is not _END:
            yield item

    def start(self, stage: Callable[..., None], *arguments: Any) -> threading.Thread:
        def guarded() -> None:
            try:
                stage(*arguments)
            except _StoppedError:
                pass
            except BaseException as error:  # handed to the caller's thread
                self.errors.append(error)
                self.stop.set()

        thread = threading.Thread(target=guarded, name=f"hvae_sr {stage.__name__}")
        thread.start()
        return thread


def run(
    source: Iterable[Any], work: Callable[[Any], Any], sink: Callable[[Iterator[Any]], None]
) -> None:
    """Iterate over `source` in one thread, `work` in the caller's, `sink` in another.

    At most `DEPTH` items wait before and after `work`. The first exception of any stage, or
    Ctrl-C, stops all three; when it reaches the caller, both threads have ended.
    """
    line = _Line()
    before: queue.Queue[Any] = queue.Queue(DEPTH)
    after: queue.Queue[Any] = queue.Queue(DEPTH)
    threads = []
    try:
        threads.append(line.start(line.feed, before, source))
        threads.append(line.start(sink, line.drain(after)))
        line.feed(after, map(work, line.drain(before)))
        for thread in threads:
            thread.join()
    except _StoppedError:
        pass
    finally:
        line.stop.set()
        for thread in threads:
            thread.join()
    if line.errors:
        raise line.errors[0]
