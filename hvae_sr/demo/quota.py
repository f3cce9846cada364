"""How much disk the demo takes: requests that would go over it are refused, parts are removed."""

import asyncio
import shutil

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hvae_sr.demo import cache
from hvae_sr.errors import HvaeSrError

RESERVE = 2**28  # bytes that the demo leaves free on the disk
UNTOLD = 2**25  # bytes that are set aside for a body whose length is not told
STORING = tuple(
    f"/gradio_api/{door}" for door in ("upload", "queue/join", "call", "mcp", "api", "run")
)
FULL = "the demo's disk space is used up: try again in a few minutes"


def room() -> int:
    """Bytes that may still be written."""
    folder = cache.own_folder()
    folder.mkdir(exist_ok=True)
    return min(cache.QUOTA - cache.used(folder), shutil.disk_usage(folder).free - RESERVE)


def check_room(needed: int = 0) -> None:
    """Refuse to write more than there is room for.

    Args:
        needed: bytes that are about to be written.

    Raises:
        HvaeSrError: when there is none, or not as much.
    """
    if room() <= needed:
        raise HvaeSrError(FULL)


class Quota:
    """ASGI middleware: what would be written over the quota is refused with 507.

    Bodies that are still coming in count as if they lay on the disk. What a broken upload leaves
    is removed when it ends, or, while others come in, a minute after its last byte.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        self.coming: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stores = scope["type"] == "http" and scope["method"] == "POST"
        if not stores or not scope["path"].startswith(STORING):
            await self.app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        length = int(told) if told.isdecimal() else UNTOLD
        self.coming.append(length)
        try:
            if await asyncio.to_thread(room) < sum(self.coming):
                await JSONResponse({"detail": FULL}, 507)(scope, receive, send)
                return
            await self.app(scope, receive, send)
        finally:
            self.coming.remove(length)
            cache.sweep_parts(cache.PART_AGE if self.coming else 0)
