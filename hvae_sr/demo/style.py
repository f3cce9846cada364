"""How the page looks. Every font is the reader's own, so that it looks the same offline."""

import gradio as gr

HEAD = """# hvae-sr
Enlarge pictures, see how sure the model is, and draw new pictures from nothing."""

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
)

CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
.head h1 { margin: 0; }
.head p, .note, .note p { color: var(--body-text-color-subdued) !important; }
.figures { font-size: var(--text-lg); font-variant-numeric: tabular-nums; }
.scale { display: flex; align-items: center; gap: 0.75em; margin: 0.25em 0; }
.scale span { white-space: nowrap; font-variant-numeric: tabular-nums; }
.scale div { flex: 1; height: 0.75em; border-radius: 0.375em; }
.grid-wrap { max-height: none !important; min-height: 0 !important; }
.grid-container {
  padding-top: 1.75em;  /* below the label */
  grid-template-columns: repeat(var(--grid-cols), minmax(0, 1fr)) !important;
}
footer .divider { display: none; }
@media (max-width: 640px) {
  .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  .pairs .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
}
"""
