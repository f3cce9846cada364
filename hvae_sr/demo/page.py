"""The page as gradio serves it, with this demo's own rules for what comes in."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import routes
from gradio.route_utils import FileUploadProgress
from gradio.utils import LRUCache

from hvae_sr.atomic import atomic_write
from hvae_sr.demo import jobs
from hvae_sr.demo.cache import own_folder
from hvae_sr.demo.call_queue import CallQueue, job_of
from hvae_sr.demo.values import NOT_UNDERSTOOD, check, explained, refusal, vetted

CHOSEN = {"index", "value"}  # what the page says of a thing that was chosen
MOST_UPLOADS = 256  # on their way at once

log = logging.getLogger(__name__)


class Uploads(FileUploadProgress):
    """How far uploads are, of which gradio would remember every one that nobody asked after."""

    def __init__(self) -> None:
        super().__init__()
        self._statuses = LRUCache(MOST_UPLOADS)
        self._signals = _Signals(MOST_UPLOADS)


class _Signals(LRUCache[str, asyncio.Event]):
    def __missing__(self, upload: str) -> asyncio.Event:
        self[upload] = signal = asyncio.Event()
        return signal


class Page(gr.Blocks):
    """Blocks that answer what they cannot do in one sentence.

    gradio would let through values which do not fit their components (NaN, a list for a name, a
    file of the server), and say nothing of what goes wrong.
    """

    _queue: Any
    _files: Mapping[Path, bytes] = {}

    def queue(self, *args: Any, **kwargs: Any) -> "Page":
        super().queue(*args, **kwargs)
        self._queue = CallQueue.like(self._queue)
        routes.file_upload_statuses = Uploads()
        return self

    def keep(self) -> None:
        """Remember the page's own files, its examples, which lie in a folder for passing things."""
        paths = {Path(path) for block in self.blocks.values() for path in block.keep_in_cache}
        self._files = {path: path.read_bytes() for path in paths}

    def restore(self) -> None:
        """Put back the demo's folder and the files of the page, where something cleared them up."""
        own_folder().mkdir(parents=True, exist_ok=True)
        for path, content in self._files.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as scratch:
                    scratch.write_bytes(content)

    async def process_api(
        self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        call = self._queue.event_ids_to_events.get(kwargs.get("event_id"))
        job = job_of(call) if call is not None else jobs.Job()
        jobs.current.set(job)  # for the thread that works, which gets a copy of this context
        try:
            if block_fn.fn is None:
                raise refusal("this happens in the browser: there is nothing to ask the server")
            if (event := kwargs.get("event_data")) is not None:
                _check_event(block_fn, event._data)
            return await super().process_api(block_fn, inputs, *args, **kwargs)
        except gr.Error:
            raise
        except asyncio.CancelledError:
            job.stop()  # its thread would go on, beside the next call's
            raise
        except Exception as error:  # whatever it is, visitors get a sentence, and the log the rest
            log.exception("a call failed")
            raise refusal(explained(error)) from error

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        if len(inputs) < len(block_fn.inputs):
            raise refusal(f"this takes {len(block_fn.inputs)} values, and got {len(inputs)}")
        inputs = [  # what lies in the session is not the visitor's to say
            None if component.stateful else vetted(value)
            for component, value in zip(block_fn.inputs, inputs, strict=False)
        ]
        for component, value in zip(block_fn.inputs, inputs, strict=True):
            check(component, value)
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except (ValueError, TypeError, OSError) as error:
            raise refusal(NOT_UNDERSTOOD) from error


def _check_event(block_fn: Any, data: Any) -> None:
    """Refuse what no component says of a click on it."""
    vetted(data)
    if block_fn.collects_event_data and not (isinstance(data, dict) and data.keys() >= CHOSEN):
        raise refusal("choose one of those that are shown")
