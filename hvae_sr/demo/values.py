"""What visitors send as values: taken only when the page's own components could have sent it."""

import errno
import html
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio_client.utils import is_http_url_like

from hvae_sr.demo.cache import own_folder
from hvae_sr.errors import HvaeSrError

FILE = "/gradio_api/file="  # where the server serves its files
OWN = f"{FILE}own/"  # the same for files of the demo's own folder, which this does not name
META = {"_type": "gradio.FileData"}  # the mark that gradio's own components put on files
MARKS = frozenset({"path", "url", "meta"})  # a dict with one of these means to be a file
LARGEST_SEED = 2**31 - 1
LONGEST_TEXT = 64  # characters that are typed where a menu takes them
DEEPEST = 8  # levels of lists and dicts in a value; the page sends three at most
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_UNDERSTOOD = "a file or value was not understood: upload files first"


def refusal(sentence: str) -> gr.Error:
    """An error of which the page shows this sentence until it is closed, and the log nothing."""
    return gr.Error(sentence, duration=None, title="Not possible", print_exception=False)


def explained(error: BaseException) -> str:
    """What a visitor is told of an error that nobody foresaw: one sentence, nothing of the server.

    The one place where unforeseen errors become words, of events and of requests alike.
    """
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "the disk of the server is full: try again later"
    if isinstance(error, MemoryError):
        return "the server is short of memory: try again later, or with a smaller image"
    return "this went wrong on the server, whose log says more: try again, or with other values"


def own(path: Any) -> Path:
    """A path that a visitor named, if it leads into the demo's own folder: resolved.

    Raises:
        gr.Error: for any other path, whether something lies there or not.
    """
    try:
        found = Path(path).resolve()
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        # no string, a null byte, a lone surrogate, a name too long, links in a circle
        raise refusal(NOT_UNDERSTOOD) from error
    if own_folder() not in found.parents:
        raise refusal(NOT_UNDERSTOOD)
    return found


def vetted(value: Any, depth: int = 0) -> Any:
    """A value as JSON, each file in it reduced to its path in the demo's own folder.

    Nothing else of what a visitor says about a file is used, or kept in the session.

    Raises:
        gr.Error: for what looks like a file and is none that was uploaded here.
    """
    if depth > DEEPEST:
        raise refusal(NOT_UNDERSTOOD)
    if isinstance(value, list):
        return [vetted(each, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if MARKS.isdisjoint(value):
        return {key: vetted(each, depth + 1) for key, each in value.items()}
    path = value.get("path")
    if not isinstance(path, str) or value.get("meta") != META:
        raise refusal(NOT_UNDERSTOOD)
    return {"path": str(own(_local(path))), "meta": dict(META)}


def _local(path: str) -> str:
    """The path of a file that is named by its address on this server; others are not fetched."""
    if not is_http_url_like(path):
        return path
    _, found, local = path.partition(FILE)
    if not found:
        raise refusal("files are not fetched from other servers: upload it here")
    return unquote(local)


def check(component: Any, value: Any) -> None:
    """Refuse a value that a component could never have sent.

    Raises:
        gr.Error: in one sentence that names the component.
    """
    label = getattr(component, "label", None) or "a value"
    if isinstance(component, gr.Dropdown | gr.Radio | gr.CheckboxGroup):
        _check_choice(label, component, value)
    elif isinstance(component, gr.Slider | gr.Number):
        _check_number(label, component, value)
    elif isinstance(component, gr.Checkbox) and not isinstance(value, bool):
        raise refusal(f"{label}: use true or false")
    elif isinstance(component, gr.Dataset):
        checked_index(value, len(component.samples))


def checked_index(index: Any, count: int) -> int:
    """The place of one of `count` things on the page.

    Raises:
        gr.Error: for anything else.
    """
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise refusal(f"choose one of the {count} that are shown")
    return index


def _check_choice(label: str, component: Any, value: Any) -> None:
    if getattr(component, "allow_custom_value", False):
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise refusal(f"{label}: use at most {LONGEST_TEXT} characters")
        return
    several = isinstance(component, gr.CheckboxGroup) or getattr(component, "multiselect", False)
    choices = [choice for _, choice in component.choices]
    chosen = value if several and isinstance(value, list) else [value]
    if any(isinstance(each, list | dict) or each not in choices for each in chosen):
        raise refusal(f"{label}: choose one that the menu has")
    if len(chosen) > len(choices):
        raise refusal(f"{label}: choose each one once")


def _check_number(label: str, component: Any, value: Any) -> None:
    if value is None and not isinstance(component, gr.Slider):
        return  # an emptied box
    if isinstance(value, bool) or not isinstance(value, int | float) or _endless(value):
        raise refusal(f"{label}: use a number")
    least, most = component.minimum, component.maximum
    if (least is not None and value < least) or (most is not None and value > most):
        raise refusal(f"{label}: use a number from {least} to {most}")


def _endless(value: float) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def checked_seed(seed: int | None) -> int:
    """The seed, which an emptied box leaves out.

    Raises:
        ValueError: when there is none.
    """
    if seed is None:
        raise ValueError(f"there is no seed: type a whole number from 0 to {LARGEST_SEED}")
    return seed


def without_folders(message: str) -> str:
    """A message in which files of the cache go by their names alone."""
    return re.sub(re.escape(str(own_folder())) + r"(/[^/\s]+)*/", "", message)


@contextmanager
def readable() -> Iterator[None]:
    """Show what the package refuses as one sentence in the page, without a traceback."""
    try:
        yield
    except (HvaeSrError, ValueError) as error:
        # The page renders messages as HTML, and a file's name is the visitor's own text.
        message = html.escape(without_folders(str(error)), quote=False)
        raise refusal(message) from error
