"""The demo: `build` lays out the page, `launch` warms the models and serves it."""

import errno
import importlib.util
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from starlette.middleware import Middleware

from hvae_sr.demo import jobs, memory
from hvae_sr.demo.batch import BatchTab
from hvae_sr.demo.cache import own_folder, swept
from hvae_sr.demo.catalogue import Models, bundled_models, warm
from hvae_sr.demo.compare import CompareTab
from hvae_sr.demo.connections import impatient
from hvae_sr.demo.guard import LARGEST_FILE, Guard, Names, not_understood
from hvae_sr.demo.levels import LevelsTab
from hvae_sr.demo.movie import MovieTab
from hvae_sr.demo.page import Page
from hvae_sr.demo.preview import Preview
from hvae_sr.demo.quota import Quota
from hvae_sr.demo.sample import SampleTab
from hvae_sr.demo.shutdown import serve
from hvae_sr.demo.style import CSS, HEAD, ICON, JS, THEME
from hvae_sr.demo.tab import Tab
from hvae_sr.demo.upscale import UpscaleTab
from hvae_sr.errors import HvaeSrError

__all__ = ["build", "launch"]

log = logging.getLogger(__name__)

# Where a Space's proxies are. What a visitor says of others comes before what they say of him.
INSIDE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
TABS: tuple[type[Tab[Any]], ...] = (
    UpscaleTab,
    BatchTab,
    MovieTab,
    CompareTab,
    SampleTab,
    LevelsTab,
)
MOST_WAITING = 64  # calls, of all clients together
MOST_SESSIONS = 100  # that gradio remembers, at 0.2 MB each; the demo keeps nothing in them


def build(models: Models | None = None) -> Page:
    """The whole page, not yet served.

    Args:
        models: name -> model for the menus; left out, the bundled ones.

    Raises:
        ModelError: when no model is bundled, or one is damaged.
    """
    models = bundled_models() if models is None else models
    own_folder()
    jobs.watch(models)
    with Page(title="hvae-sr", analytics_enabled=False) as blocks:
        gr.Markdown(HEAD, elem_classes="head")
        shown = [each for tab in TABS if (each := tab(models)).models]
        with gr.Tabs() as tabs:
            for each in shown:
                each.build()
        memory.connect(blocks, tabs, shown)
    blocks.keep()
    return blocks


def launch(
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    mcp: bool = False,
    block: bool = True,
    allowed_hosts: Sequence[str] = (),
    trusted_proxies: Sequence[str] = (),
) -> Page:
    """Serve the demo on the bundled models, which have all answered once before it listens.

    Args:
        host: address to listen on.
        port: port to listen on.
        mcp: serve every action as a tool for MCP clients too, at /gradio_api/mcp/.
        block: stay here until interrupted, then end the process; otherwise come back, the server
            running beside.
        allowed_hosts: names that visitors may ask for beside those of the machine itself. Without
            any, a server on all addresses (0.0.0.0) answers to every name, and warns.
        trusted_proxies: addresses or networks whose X-Forwarded headers are believed.

    Raises:
        ModelError: when no model is bundled, or one is damaged.
        HvaeSrError: when MCP is asked for and its extra is not installed.
        OSError: when the address is not to be had, before anything is loaded.
    """
    if mcp:
        _prepare_mcp()
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    _check_free(host, port)
    if space := os.environ.get("SPACE_HOST"):  # reached through its host's proxy alone
        allowed_hosts, trusted_proxies = [*allowed_hosts, space], INSIDE
    names = Names(host, allowed_hosts)
    if names.unguarded:
        log.warning("the demo answers to every name: restrict it with --allowed-host NAME")
    models = bundled_models()
    warm(models)
    blocks = build(models)
    # uvicorn would believe what any proxy of this machine says.
    os.environ["FORWARDED_ALLOW_IPS"] = ""
    # Direct calls would run beside the queue, and with it beside its limits.
    blocks.queue(max_size=MOST_WAITING, api_open=False).launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        share=False,
        show_error=False,  # what is not meant for people stays in the server's log
        strict_cors=True,
        max_file_size=LARGEST_FILE,
        enable_monitoring=False,
        state_session_capacity=MOST_SESSIONS,
        app_kwargs={
            "lifespan": swept(blocks),
            "middleware": [
                Middleware(Guard, page=blocks, names=names, proxies=trusted_proxies),
                Middleware(Quota),
                Middleware(Preview),
            ],
            "exception_handlers": {RequestValidationError: not_understood},
        },
        mcp_server=mcp,
        favicon_path=ICON,
        ssr_mode=False,
        run_history=False,
        footer_links=["api"],
        theme=THEME,
        css=CSS,
        js=JS,
    )
    server = blocks.server.config  # gradio makes it and takes no settings for it
    server.http_protocol_class = impatient(server.http_protocol_class)
    if block:
        serve(blocks)
    return blocks


def _check_free(host: str, port: int) -> None:
    """Find out at once what loading all models first would only delay.

    Raises:
        OSError: in one sentence, for an address of another machine and a port that is taken.
    """
    address = host.strip("[]")
    try:
        (family, *_, place), *_ = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(f"{address} is no address: choose another one with --host") from error
    with socket.socket(family) as probe:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                sentence = f"{address} is no address of this machine: choose another with --host"
            elif error.errno == errno.EACCES:
                sentence = f"port {port} needs more rights: choose one above 1023 with --port"
            else:
                sentence = f"port {port} of {address} is taken: choose another one with --port"
            raise OSError(sentence) from error


def _prepare_mcp() -> None:
    if importlib.util.find_spec("mcp") is None:
        raise HvaeSrError('MCP needs an extra: pip install "hvae-sr[mcp]"')
    import gradio.mcp

    from hvae_sr.demo.tools import Tools

    # It has read gradio's own folder when gradio was imported.
    gradio.mcp.DEFAULT_TEMP_DIR = str(own_folder())
    gradio.mcp.GradioMCPServer = Tools
