"""How a server ends: at once, whatever runs, with its folder removed."""

import os
import shutil
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import gradio as gr

from hvae_sr.demo.cache import own_folder
from hvae_sr.inference import decoders

GRACE = 3.0  # seconds for the folder's files to go
INTERRUPTED = 130  # what shells report of a command that Ctrl-C ended


def serve(blocks: gr.Blocks) -> None:
    """Stay until Ctrl-C, SIGTERM or SIGHUP, then end the process: this does not return.

    Nothing at work is waited for: it is C code that no exception interrupts, and an interpreter
    that ends in the ordinary way waits for it or aborts beside it. All it leaves lies in the
    folder.
    """
    code = 0
    try:
        _listen()
        while blocks.is_running:
            time.sleep(0.2)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit:
        code = 0
    end(code)


def end(code: int) -> None:
    """End the decoders, remove the folder, and end the process with `code`."""
    for each in _endings():
        signal.signal(each, signal.SIG_IGN)  # it ends already
    decoders.close()
    patience = time.monotonic() + GRACE
    while own_folder().exists() and time.monotonic() < patience:
        shutil.rmtree(own_folder(), ignore_errors=True)
        time.sleep(0.05)  # jobs may still write into it
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _endings() -> list[signal.Signals]:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _listen() -> None:
    """Let the signals that ask a process to end raise an exception in the main thread."""

    def leave(number: int, frame: FrameType | None) -> Any:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit

    if threading.current_thread() is not threading.main_thread():
        return
    for each in _endings():
        if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(each, leave)
