"""How the page looks. Every font is the reader's own, so that it looks the same offline."""

from importlib.resources import files

import gradio as gr

TITLE = "hvae-sr"
DESCRIPTION = "Enlarge images and movies, see how sure a model is, and draw new images."
HEAD = f"# {TITLE}\n{DESCRIPTION}"

_STATIC = files(__package__) / "static"
CSS = (_STATIC / "page.css").read_text(encoding="utf-8")
MEMORY = (_STATIC / "memory.js").read_text(encoding="utf-8")
ICON = str(_STATIC / "icon.png")
JS = (_STATIC / "page.js").read_text(encoding="utf-8")

THEME = gr.themes.Default(
    primary_hue="indigo",
    secondary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Ubuntu", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "Menlo", "monospace"],
).set(
    # gradio's own grey is too pale on white to be read by everyone
    body_text_color_subdued="*neutral_600",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    # white on its primary_500 stays just below the contrast of 4.5 that readers need
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)
