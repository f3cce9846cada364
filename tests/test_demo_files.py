"""Nobody reads files of the server: every way that a path could take into the demo."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from PIL import Image
from test_demo import REST

from benchmarks.demo_checks import visitors
from hvae_sr.demo import cache, values

SECRET = "secret-of-the-server.png"
MODEL = "photo-cnn-x4"

# how a visitor may write down a file that was not uploaded
FORGED: dict[str, Callable[[str], Any]] = {
    "no meta": lambda path: {"path": path},
    "another type": lambda path: {"path": path, "meta": {"_type": "gradio.Other"}},
    "more than the type": lambda path: {"path": path, "meta": {**values.META, "more": 1}},
    "no dict as meta": lambda path: {"path": path, "meta": "gradio.FileData"},
    "meta is null": lambda path: {"path": path, "meta": None},
    "the mark": lambda path: {"path": path, "meta": values.META},
    "an address": lambda path: {"path": path, "url": path, "meta": values.META},
    "an address of this server": lambda path: {
        "path": f"http://127.0.0.1/gradio_api/file={path}",
        "meta": values.META,
    },
    "through the folder": lambda path: {
        "path": f"{cache.own_folder()}/../../../../../../../..{path}",
        "meta": values.META,
    },
    "only an address": lambda path: {"url": path, "meta": values.META},
    "a list as path": lambda path: {"path": [path], "meta": values.META},
    "a stream": lambda path: {"path": path, "is_stream": True, "meta": values.META},
    "in an image of a gallery": lambda path: {"image": {"path": path}},
    "a bare string": lambda path: path,
}


@pytest.fixture(scope="module")
def address(client: Client) -> str:
    return client.src.rstrip("/")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / SECRET)
    return tmp_path / SECRET


def told(address: str, endpoint: str, values: list[Any]) -> str:
    """All that the server answers to a public call."""
    call = f"{address}/gradio_api/call/{endpoint}"
    event = httpx.post(call, json={"data": values}).raise_for_status().json()["event_id"]
    return httpx.get(f"{call}/{event}", timeout=60).text


@pytest.mark.parametrize("form", FORGED)
@pytest.mark.parametrize(
    ("endpoint", "rest"),
    [
        ("upscale", [MODEL, *REST]),
        ("compare", [[MODEL], False]),
        ("movie", ["photo-cnn-x2"]),
    ],
)
def test_no_public_call_reads_a_file_of_the_server(
    form: str, endpoint: str, rest: list[Any], address: str, secret: Path
) -> None:
    there = told(address, endpoint, [FORGED[form](str(secret)), *rest])
    missing = told(address, endpoint, [FORGED[form](str(secret) + "x"), *rest])
    assert there.startswith("event: error")
    assert there == missing  # not even whether it exists is told
    assert SECRET not in there and len(json.loads(there.partition("data: ")[2])["error"]) > 20


def test_levels_read_no_file_of_the_server(address: str, secret: Path) -> None:
    answer = told(address, "levels", ["photo-hvae-x4", 1, 0.9, 0, FORGED["no meta"](str(secret))])
    assert answer.startswith("event: error") and SECRET not in answer


def test_no_event_of_the_page_gives_back_a_file_that_was_named(address: str, secret: Path) -> None:
    page = httpx.get(f"{address}/config").json()
    forged = [make(str(secret)) for make in FORGED.values()]
    before = set(cache.own_folder().rglob("*"))
    asked = 0
    for event in page["dependencies"]:
        if event["queue"] or not event["backend_fn"]:
            continue
        for value in [*forged, forged, [[each, "1: 40.0 dB"] for each in forged]]:
            body = {
                "fn_index": event["id"],
                "session_hash": "nosy",
                "data": [value] * max(len(event["inputs"]), 1),
                "event_data": {"index": 0, "value": None},
            }
            answer = httpx.post(f"{address}/gradio_api/run/predict", json=body, timeout=60)
            assert SECRET not in answer.text, event
            asked += 1
    assert asked > 50
    copies = set(cache.own_folder().rglob("*")) - before
    assert not [path for path in copies if path.name == SECRET]


def test_another_sample_is_chosen_by_its_index_alone(address: str) -> None:
    page = httpx.get(f"{address}/config").json()
    (select,) = [
        each
        for each in page["dependencies"]
        if each["backend_fn"] and any(kind == "select" for _, kind in each["targets"])
    ]
    for index in (0, -1, 99, "0", None, [0, 1], {"path": "/etc/passwd"}):
        body = {
            "fn_index": select["id"],
            "session_hash": "chooser",
            "data": [None] * len(select["inputs"]),
            "event_data": {"index": index, "value": None},
        }
        answer = httpx.post(f"{address}/gradio_api/run/predict", json=body)
        expected = "upload files first" if isinstance(index, dict) else "no longer kept"
        assert expected in answer.json()["error"]


@pytest.mark.parametrize("path", ["/etc/passwd", "", ".", "a\0b", "\ud800", "x" * 5000, 7, None])
def test_only_paths_inside_the_folder_are_own(path: Any, tmp_path: Path) -> None:
    with pytest.raises(gr.Error, match="upload files first"):
        values.own(path)


def test_links_do_not_lead_out_of_the_folder(secret: Path) -> None:
    link = cache.own_folder() / "link.png"
    link.symlink_to(secret)
    try:
        with pytest.raises(gr.Error, match="upload files first"):
            values.own(link)
    finally:
        link.unlink()
    assert values.own(cache.own_folder() / "a" / "b.png").name == "b.png"


def test_files_are_reduced_to_their_paths(address: str) -> None:
    path = visitors.Visitor(address).upload(_picture())
    told = {"path": path, "orig_name": "x" * 10_000, "url": "http://elsewhere", "size": 1}
    assert values.vetted([{**told, "meta": values.META}]) == [{"path": path, "meta": values.META}]


def _picture() -> Path:
    path = cache.own_folder() / "made.png"
    visitors.image(5).save(path)
    return path
