"""The head of the page, for those who never run its scripts: what previews of a link show."""

import html
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hvae_sr.demo.style import DESCRIPTION, MEMORY, TITLE

OTHERS = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')


class Preview:
    """ASGI middleware: puts this demo's own words where gradio's page advertises gradio."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def headed(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body", False):
                return
            headers = MutableHeaders(scope=start)
            if body and headers.get("content-type", "").startswith("text/html"):
                body = with_head(body.decode(), address(scope)).encode()
                headers["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, headed)


def address(scope: Scope) -> str:
    """Of the page, without a slash at its end."""
    host = Headers(scope=scope).get("host", "")
    return f"{scope['scheme']}://{host}{scope.get('root_path', '')}".rstrip("/")


def with_head(page: str, address: str) -> str:
    """A page with this demo's head in place of others' advertisements."""
    here = html.escape(address)
    told = {
        "og:type": "website",
        "og:title": TITLE,
        "og:description": DESCRIPTION,
        "og:url": f"{here}/",
        "og:image": f"{here}/pwa_icon/512",
    }
    metas = "".join(f'<meta property="{name}" content="{told[name]}" />\n' for name in told)
    head = (
        f'<head>\n<meta name="description" content="{DESCRIPTION}" />\n'
        f'<meta name="twitter:card" content="summary" />\n{metas}<script>\n{MEMORY}</script>\n'
    )
    return OTHERS.sub("", page).replace("<head>", head, 1)
