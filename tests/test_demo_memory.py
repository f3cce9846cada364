"""What a browser remembers, what previews of a link show, and answers that are kept."""

import re
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from conftest import Nearest
from gradio_client import Client
from PIL import Image
from test_demo_handlers import asked

from hvae_sr import demo
from hvae_sr.demo import answers, examples, memory, preview, values
from hvae_sr.demo.upscale import UpscaleTab


def test_rules_are_those_of_the_components() -> None:
    assert memory.rule(gr.Checkbox()) == {"type": "boolean"}
    assert memory.rule(gr.Slider(0, 3)) == {"least": 0, "most": 3}
    assert memory.rule(gr.Dropdown(["a"], allow_custom_value=True)) == {"type": "string"}
    assert memory.rule(gr.Radio(["a", "b"])) == {"choices": ["a", "b"], "several": False}
    group = gr.CheckboxGroup([("A", "a")])
    assert memory.rule(group) == {"choices": ["a"], "several": True}


def test_settings_are_the_arguments_of_each_action() -> None:
    """Links and browsers name settings as the API does."""
    blocks = demo.build({"nearest": Nearest()})
    named = {fn.api_name: fn for fn in blocks.fns.values() if fn.api_visibility == "public"}
    tab = UpscaleTab({"nearest": Nearest()})
    with gr.Blocks():
        tab.build()
    labels = [each.label for each in named["upscale"].inputs[1:]]
    assert labels == [each.label for each in tab.settings.values()]


def test_errors_stay_until_they_are_closed() -> None:
    assert values.refusal("no").duration is None


def test_previews_name_the_demo_and_nobody_else(client: Client, demo_port: int) -> None:
    visitor = httpx.Client(base_url=f"http://127.0.0.1:{demo_port}", timeout=60)
    page = visitor.get("/").text
    head = page.split("</head>")[0]
    found = dict(re.findall(r'<meta property="(og:\w+)" content="([^"]*)"', head))
    assert found["og:title"] == "hvae-sr" and "Enlarge images" in found["og:description"]
    assert found["og:image"] == f"http://127.0.0.1:{demo_port}/pwa_icon/512"
    assert head.count('"og:') == len(found) and "twitter:creator" not in head
    assert 'name="description"' in head
    image = visitor.get(found["og:image"])
    assert image.headers["content-type"] == "image/png"
    assert visitor.get("/favicon.ico").status_code == 200
    assert visitor.get("/pwa_icon/60000").status_code == 404


def test_addresses_in_the_head_are_no_markup() -> None:
    page = preview.with_head("<html><head></head></html>", 'http://a"><script>x')
    assert "<script>x" not in page


def test_examples_are_answered_once(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Any] = []
    real = answers.answer

    def counted(*given: Any) -> Any:
        passes.append(given)
        return real(*given)

    monkeypatch.setattr(answers, "answer", counted)
    tab = UpscaleTab({"nearest": Nearest()})
    example = examples.photographs(tmp_path)[0]
    first, *_ = tab.upscale(*asked(example))
    second, *_ = tab.upscale(*asked(example, size="1.5x", file_format="JPEG"))
    assert len(passes) == 1
    assert Image.open(first[1]).size == (192, 192) and Image.open(second[1]).size == (144, 144)
    tab.upscale(*asked(example, consistent=True))
    assert len(passes) == 2
    for _ in range(2):  # others' images are not kept
        tab.upscale(*asked(small))
    assert len(passes) == 4
    assert len(tab.examples._kept) == 2
