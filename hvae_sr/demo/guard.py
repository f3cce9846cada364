"""What the demo refuses before it looks closer: foreign names, unused doors, large bodies."""

import asyncio
import ipaddress
import logging
import re
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from gradio.route_utils import FnIndexInferError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hvae_sr.demo.cache import own_folder
from hvae_sr.demo.values import DISK_FULL, FILE, OWN, explained

API = "/gradio_api"
LARGEST_FILE = 32 * 2**20  # bytes
LARGEST_CALL = 2**16  # bytes of a request that uploads nothing
UPLOADS = (f"{API}/upload", f"{API}/mcp")  # MCP clients send images inside their calls
CHUNK_TIME = 30.0  # seconds to wait for more of a body
BODY_TIME = 600.0  # seconds for all of it
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})
PLAIN = frozenset("@/?#\\")  # what no name has, and URLs give a meaning to
RANGE = re.compile(r"bytes=\d{0,18}-\d{0,18}", re.ASCII)

ICONS = (192, 512)  # sides in pixels: gradio would resize the icon to any

# All that the page and the clients of the API use; gradio has far more.
DOORS = frozenset(
    {
        "",
        "/config",
        "/favicon.ico",
        "/manifest.json",
        *(f"/pwa_icon/{size}" for size in ICONS),
        "/robots.txt",
        "/theme.css",
        *(
            API + door
            for door in (
                "/app_id",
                "/cancel",
                "/info",
                "/mcp",
                "/openapi.json",
                "/queue/data",
                "/queue/join",
                "/queue/status",
                "/reset",
                "/run/predict",
                "/startup-events",
                "/theme.css",
                "/upload",
                "/upload_progress",
            )
        ),
    }
)
ROOMS = (
    "/assets/",
    "/static/",
    f"{API}/call/",
    f"{API}/heartbeat/",
    f"{API}/mcp/",
    FILE,
)

log = logging.getLogger(__name__)


class Names:
    """Which names the demo answers to, so that no page elsewhere becomes its own by DNS.

    On a loopback address these are the loopback names and those that were allowed. Elsewhere any
    bare address is one too, which DNS cannot forge, and every name where none was allowed.

    Args:
        host: what the server listens on.
        allowed: further names.
    """

    def __init__(self, host: str, allowed: Collection[str] = ()):
        host = host.strip("[]").lower()
        self.allowed = frozenset(each.strip("[]").lower() for each in allowed)
        self._local = host == "localhost" or _is_loopback(host)
        self._names = LOOPBACK | self.allowed | {host} - EVERYWHERE
        self.unguarded = host in EVERYWHERE and not self.allowed

    def __contains__(self, name: str | None) -> bool:
        if name is None:
            return False
        if name in self._names or self.unguarded:
            return True
        return not self._local and _is_address(name)


class Guard:
    """ASGI middleware: answers in one sentence what the demo does not do.

    It checks the name that was asked for, where a call comes from, doors and lengths, forbids
    browsers to guess at files, and puts errors that nobody foresaw into words.

    Args:
        page: the page behind it, whose files it keeps in place.
        names: what the demo answers to.
        proxies: addresses or networks whose word about whom they stand for is taken.
    """

    def __init__(self, app: ASGIApp, page: Any, names: Names, proxies: Collection[str] = ()):
        self.app = app
        self.page = page
        self.names = names
        self._behind = ProxyHeadersMiddleware(self._serve, list(proxies))  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        peer = scope["client"][0] if scope["client"] else None
        if peer in self._behind.trusted_hosts:
            await self._behind(scope, receive, send)  # type: ignore[arg-type]
            return
        headers = [each for each in scope["headers"] if not each[0].startswith(b"x-forwarded-")]
        await self._serve({**scope, "headers": headers}, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            largest = self._admitted(scope)
            _drop_ranges(scope)
            _find_own(scope)
            if scope["path"].startswith((FILE, API)):
                self.page.restore()
            form = scope["path"].startswith(UPLOADS[0])
            await self.app(scope, _bounded(receive, largest, form), watched)
        except ClientDisconnect:
            return  # nobody is left to tell
        except Exception as error:  # whatever it is, it ends here in a sentence
            if started:
                raise
            code, sentence = _meaning(error, scope["path"])
            if code == 500:
                log.exception("a request failed")
            await JSONResponse({"detail": sentence}, code)(scope, receive, watched)

    def _admitted(self, scope: Scope) -> int:
        """The most bytes that a request may bring.

        Raises:
            HTTPException: when the demo does not take it at all.
        """
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if hostname(host) not in self.names:
            raise HTTPException(
                421, "the demo does not answer to this name: start it with --allowed-host NAME"
            )
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not self._at_home(headers, host):
            raise HTTPException(403, "calls from other pages are not taken: open the demo itself")
        if not is_open(path):
            raise HTTPException(404, "this demo does not serve that")
        largest = LARGEST_FILE + 2**16 if path.startswith(UPLOADS) else LARGEST_CALL
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > largest:
            raise HTTPException(413, _too_large(largest))
        return largest

    def _at_home(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is None:  # no browser, or not from a page
            return True
        netloc = origin.partition("://")[2].lower()
        return netloc == host.lower() or hostname(netloc) in self.names.allowed


def hostname(netloc: str) -> str | None:
    """The name in a Host header or an origin, without port and brackets."""
    if not PLAIN.isdisjoint(netloc):
        return None
    try:
        name = urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None
    return name.removesuffix(".") if name else None


def _drop_ranges(scope: Scope) -> None:
    """Let what is no single range, on which gradio breaks, be answered with the whole file."""
    headers = MutableHeaders(scope=scope)
    if not RANGE.fullmatch(headers.get("range", "bytes=0-")):
        del headers["range"]


def _find_own(scope: Scope) -> None:
    """Let an address that hides where the demo's own folder is lead there.

    gradio serves what lies in it alone, wherever such an address leads.
    """
    if scope["path"].startswith(OWN):
        scope["path"] = f"{FILE}{own_folder()}/{scope['path'].removeprefix(OWN)}"


def is_open(path: str) -> bool:
    """Whether the demo serves a path."""
    if path.startswith(f"{FILE}http"):  # gradio would fetch it from another server
        return False
    return path.rstrip("/") in DOORS or path.startswith(ROOMS)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name.partition("%")[0]).is_loopback


def _bounded(receive: Receive, largest: int, form: bool) -> Receive:
    """A body of at most so many bytes, which comes in time, and to its end if it is a form."""
    received, whole, tail = 0, False, b""
    end = time.monotonic() + BODY_TIME

    async def bounded() -> Message:
        nonlocal received, whole, tail
        if whole:  # from here on only the end of the connection is waited for
            return await receive()
        patience = min(CHUNK_TIME, end - time.monotonic())
        try:
            message = await asyncio.wait_for(receive(), max(patience, 0))
        except TimeoutError:
            raise HTTPException(408, "this took too long to arrive: send it again") from None
        body = message.get("body", b"")
        received += len(body)
        tail = (tail + body[-4:])[-4:]
        whole = not message.get("more_body", False)
        if received > largest:  # by a request that does not say its length
            raise HTTPException(413, _too_large(largest))
        if form and whole and received and not tail.rstrip(b"\r\n").endswith(b"--"):
            raise HTTPException(400, "the upload was cut short: send it again")
        return message

    return bounded


def _too_large(largest: int) -> str:
    size = f"{largest // 2**20} MB" if largest >= 2**20 else f"{largest // 2**10} KB"
    return f"that is too large: at most {size} are taken here"


def _meaning(error: Exception, path: str) -> tuple[int, str]:
    """Code and sentence for what gradio or this demo raised before anything was sent."""
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return 507, explained(error)
    if path.startswith(f"{API}/upload") and not isinstance(error, OSError):
        return 400, "the upload was not understood: send files as multipart/form-data"
    if path == "/" and isinstance(error, KeyError):
        return 404, "this demo has one page: open it without ?page="
    # What gradio raises for names, numbers and arguments that it does not know.
    if path.startswith(API) and isinstance(error, FnIndexInferError | LookupError):
        return 404, f"there is no such action: {API}/info lists them"
    if path.startswith(API) and isinstance(error, TypeError):
        return 422, f"these are not the arguments of this action: {API}/info lists them"
    return 500, explained(error)


async def not_understood(request: Any, error: Exception) -> JSONResponse:
    """The answer to a body that is no call at all."""
    return JSONResponse({"detail": f"this is no call: {API}/info says how to make one"}, 422)
