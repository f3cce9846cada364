"""Figures of an answer: numbers for clients of the API, and words on the page."""

import gradio as gr

from hvae_sr.demo.uncertainty import STOPS

_COLOURS = ", ".join(f"rgb{stop}" for stop in STOPS)


def report(template: str, label: str) -> gr.HTML:
    """A component that holds a dict of numbers and names, which the browser lays out.

    Not a class of its own: gradio would write a file beside this one.

    Args:
        template: how the page shows `value`; Handlebars escapes what it fills in.
        label: what screen readers call it.
    """
    box = gr.HTML(
        html_template=f"{{{{#if value}}}}{template}{{{{/if}}}}",
        label=label,
        js_on_load=None,
        elem_classes="figures",
    )
    box.api_info = lambda: {"type": "object", "description": "numbers and names"}
    return box


SIZE = (
    "<b>{{value.width}} x {{value.height}}</b> from {{value.input_width}} x {{value.input_height}}"
)
UPSCALED = (
    f"<p>{SIZE}"
    "{{#if value.several}} · sample {{value.sample}} of {{value.num_samples}}{{/if}}"
    "{{#if value.lr_psnr}} · LR-PSNR <b>{{value.lr_psnr}} dB</b>{{/if}} · {{value.seconds}} s"
    '<br><span class="made">Made by {{value.model}}, temperature {{value.temperature}}'
    "{{#if value.drawn}}, seed {{value.seed}}{{/if}}"
    "{{#if value.consistent}}, LR-consistent{{/if}}"
    "{{#if value.shrunk}}, of the image shrunk to fit{{/if}}"
    "{{#if value.reduced}}; shown reduced, the file is whole{{/if}}</span></p>"
    '{{#if value.std_max}}<div class="scale"><span>Uncertainty: 0</span>'
    f'<div style="background: linear-gradient(to right, {_COLOURS})"></div>'
    "<span>{{value.std_max}} / 255</span></div>{{/if}}"
)
MOVIE = (
    f"<p>{SIZE} · {{{{value.frames}}}} frames · {{{{value.seconds}}}} s"
    '<br><span class="made">Made by {{value.model}}</span></p>'
    '{{#if value.before}}<div class="versus">'
    '<video class="before" muted loop playsinline preload="auto" src="{{value.before}}"></video>'
    '<video class="after" muted loop playsinline preload="auto" src="{{value.after}}"></video>'
    '<div><button type="button" aria-pressed="false">Play both</button>'
    '<input type="range" value="50" aria-label="Divider: per cent of the movie before">'
    "</div></div>{{/if}}"
)
DRAWN = (
    '<p class="made">Made by {{value.model}}, temperature {{value.temperature}}, '
    "{{#if value.end_seed}}from seed {{value.seed}} to {{value.end_seed}}"
    "{{else}}seed {{value.seed}}{{/if}}</p>"
)
BATCH = (
    "<p><b>{{value.done}} of {{value.files}}</b> images · {{value.seconds}} s"
    '<br><span class="made">Made by {{value.model}}, temperature 0</span></p>'
)
