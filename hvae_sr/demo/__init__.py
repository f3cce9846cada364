"""The demo: `build` lays out the page, `launch` warms the models and serves it."""

from collections.abc import Mapping

import gradio as gr

from hvae_sr.demo import movie, prior, upscale
from hvae_sr.demo.shared import shelf, warm
from hvae_sr.demo.style import CSS, HEAD, THEME
from hvae_sr.modeling import SuperResolutionModel

HOUR = 3600

__all__ = ["build", "launch"]


def build(models: Mapping[str, SuperResolutionModel] | None = None) -> gr.Blocks:
    """The whole page, not yet served.

    Args:
        models: name -> model for the menus; left out, the bundled ones.

    Raises:
        ModelError: when no model is bundled, or one is damaged.
    """
    models = shelf() if models is None else models
    with gr.Blocks(
        title="hvae-sr", analytics_enabled=False, delete_cache=(HOUR // 4, HOUR)
    ) as blocks:
        gr.Markdown(HEAD, elem_classes="head")
        with gr.Tabs():
            upscale.tab(models)
            movie.tab(models)
            prior.tab(models)
    return blocks


def launch(host: str = "127.0.0.1", port: int = 7860, *, block: bool = True) -> gr.Blocks:
    """Serve the demo on the bundled models, which have all answered once before it listens.

    Args:
        host: address to listen on.
        port: port to listen on.
        block: stay here until interrupted; otherwise come back, the server running beside.

    Raises:
        ModelError: when no model is bundled, or one is damaged.
        OSError: when the port is taken.
    """
    models = shelf()
    warm(models)
    blocks = build(models)
    blocks.queue(max_size=32).launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=not block,
        share=False,
        show_error=False,  # what is not meant for people stays in the server's log
        strict_cors=True,
        max_file_size="32mb",
        ssr_mode=False,
        run_history=False,
        footer_links=["api"],
        theme=THEME,
        css=CSS,
    )
    return blocks
