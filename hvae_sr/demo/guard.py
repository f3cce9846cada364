"""What the demo refuses before it looks closer: wrong values, large bodies, unused doors."""

import math
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like, traverse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/gradio_api"
FILE = f"{API}/file="
LARGEST_FILE = 32 * 2**20  # bytes
LARGEST_CALL = 2**20  # bytes of a request that uploads nothing
UPLOADS = (f"{API}/upload", f"{API}/mcp")  # MCP clients send pictures inside their calls
CLOSED = tuple(  # gradio's own features that the demo does not use
    API + door
    for door in (
        "/component_server",
        "/deep_link",
        "/file/http",
        "/file=http",  # fetches from other servers
        "/process_recording",  # runs ffmpeg on whatever it is given
        "/proxy=",
        "/vibe-",
    )
)


class Page(gr.Blocks):
    """Blocks that refuse values which do not fit their components in one sentence.

    gradio would let them through (NaN, a list for a name), or say nothing of use.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        if len(inputs) < len(block_fn.inputs):
            raise refusal(f"this takes {len(block_fn.inputs)} values, and got {len(inputs)}")
        inputs = traverse(inputs, _local, is_file_obj_with_meta)
        for component, value in zip(block_fn.inputs, inputs, strict=False):
            check(component, value)
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except (ValueError, TypeError, OSError) as error:
            raise refusal("a file or value was not understood: upload files first") from error


def refusal(sentence: str) -> gr.Error:
    """An error of which the page shows this sentence, and the log nothing."""
    return gr.Error(sentence, title="Not possible", print_exception=False)


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


def _check_choice(label: str, component: Any, value: Any) -> None:
    several = isinstance(component, gr.CheckboxGroup) or getattr(component, "multiselect", False)
    choices = [choice for _, choice in component.choices]
    chosen = value if several and isinstance(value, list) else [value]
    if any(isinstance(each, list | dict) or each not in choices for each in chosen):
        raise refusal(f"{label}: choose one that the menu has")


def _check_number(label: str, component: Any, value: Any) -> None:
    if value is None and not isinstance(component, gr.Slider):
        return  # an emptied box
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refusal(f"{label}: use a number")
    least, most = component.minimum, component.maximum
    if (least is not None and value < least) or (most is not None and value > most):
        raise refusal(f"{label}: use a number from {least} to {most}")


def _local(file: dict[str, Any]) -> dict[str, Any]:
    """A file named by its address on this server -> by its path; others are not fetched."""
    path = file.get("path")
    if not isinstance(path, str) or not is_http_url_like(path):
        return file
    _, found, local = path.partition(FILE)
    if not found:
        raise refusal("files are not fetched from other servers: upload it here")
    return {**file, "path": unquote(local)}


class Guard:
    """ASGI middleware: closes doors, bounds bodies, and forbids browsers to guess at files."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        largest = LARGEST_FILE + 2**16 if path.startswith(UPLOADS) else LARGEST_CALL
        if path.startswith(CLOSED):
            await _answer("this demo does not serve that", 404, scope, receive, send)
            return
        if int(Headers(scope=scope).get("content-length") or 0) > largest:
            await _answer(_too_large(largest), 413, scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > largest:  # by a request that does not say its length
                raise HTTPException(413, _too_large(largest))
            return message

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-content-type-options"] = "nosniff"
            await send(message)

        await self.app(scope, bounded, watched)


def _too_large(largest: int) -> str:
    return f"that is too large: at most {largest // 2**20} MB are taken here"


async def _answer(sentence: str, code: int, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"detail": sentence}, code)(scope, receive, send)
