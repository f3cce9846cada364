"""How a server ends: at once, whatever runs, with its folder removed."""

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import gradio as gr

from hvae_sr.demo.cache import LOCK, own_folder
from hvae_sr.imaging import decoders

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
    clearing = threading.Thread(target=_clear, args=[own_folder()], daemon=True)
    clearing.start()
    clearing.join(GRACE)  # of many thousand files the next start finds the rest
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _clear(folder: Path) -> None:
    """Delete the folder, its lock last: by that alone the next start knows what is left of it."""
    while folder.exists():
        for path in folder.glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)  # jobs may still write into it


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
