"""The demo: `build` lays out the page, `launch` warms the models and serves it."""

import importlib.util
from collections.abc import Mapping

import gradio as gr
from starlette.middleware import Middleware

from hvae_sr.demo import compare, levels, movie, prior, upscale
from hvae_sr.demo.cache import own_folder, swept
from hvae_sr.demo.guard import LARGEST_FILE, Guard, Page
from hvae_sr.demo.shared import shelf, warm
from hvae_sr.demo.style import CSS, HEAD, NAMES, THEME
from hvae_sr.errors import HvaeSrError
from hvae_sr.models.base import SuperResolutionModel

__all__ = ["build", "launch"]


def build(models: Mapping[str, SuperResolutionModel] | None = None) -> gr.Blocks:
    """The whole page, not yet served.

    Args:
        models: name -> model for the menus; left out, the bundled ones.

    Raises:
        ModelError: when no model is bundled, or one is damaged.
    """
    models = shelf() if models is None else models
    own_folder()
    with Page(title="hvae-sr", analytics_enabled=False) as blocks:
        gr.Markdown(HEAD, elem_classes="head")
        with gr.Tabs():
            upscale.tab(models)
            compare.tab(models)
            movie.tab(models)
            prior.tab(models)
            levels.tab(models)
    return blocks


def launch(
    host: str = "127.0.0.1", port: int = 7860, *, mcp: bool = False, block: bool = True
) -> gr.Blocks:
    """Serve the demo on the bundled models, which have all answered once before it listens.

    Args:
        host: address to listen on.
        port: port to listen on.
        mcp: serve every action as a tool for MCP clients too, at /gradio_api/mcp/.
        block: stay here until interrupted; otherwise come back, the server running beside.

    Raises:
        ModelError: when no model is bundled, or one is damaged.
        HvaeSrError: when MCP is asked for and its extra is not installed.
        OSError: when the port is taken.
    """
    if mcp:
        _prepare_mcp()
    models = shelf()
    warm(models)
    blocks = build(models)
    # Direct calls would run beside the queue, and with it beside its limits.
    blocks.queue(max_size=32, api_open=False).launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=not block,
        share=False,
        show_error=False,  # what is not meant for people stays in the server's log
        strict_cors=True,
        max_file_size=LARGEST_FILE,
        enable_monitoring=False,
        app_kwargs={"lifespan": swept(blocks), "middleware": [Middleware(Guard)]},
        mcp_server=mcp,
        ssr_mode=False,
        run_history=False,
        footer_links=["api"],
        theme=THEME,
        css=CSS,
        js=NAMES,
    )
    return blocks


def _prepare_mcp() -> None:
    if importlib.util.find_spec("mcp") is None:
        raise HvaeSrError('MCP needs an extra: pip install "hvae-sr[mcp]"')
    import gradio.mcp

    # It has read gradio's own folder when gradio was imported.
    gradio.mcp.DEFAULT_TEMP_DIR = str(own_folder())
