"""What the demo refuses before it looks closer: large bodies, unused doors."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/gradio_api"
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
