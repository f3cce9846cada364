"""What the demo refuses, keeps to itself and forgets: a test per promise."""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import psutil
import pytest
from conftest import free_port, refusal
from gradio_client import Client, handle_file

from benchmarks.demo_checks import hostile, load, visitors
from hvae_sr.demo import cache, guard, values
from hvae_sr.demo.page import Page
from hvae_sr.errors import ImageError

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def address(client: Client) -> str:
    return client.src.rstrip("/")


def upload(address: str, name: str, content: bytes) -> str:
    """Where the server keeps an uploaded file."""
    answer = httpx.post(f"{address}/gradio_api/upload", files={"files": (name, content)})
    (path,) = answer.raise_for_status().json()
    return path


def test_every_bad_input_gets_one_sentence(address: str, tmp_path: Path) -> None:
    answers = dict(hostile.refused(address, tmp_path))
    assert len(answers) > 50
    for what, sentence in answers.items():
        assert 15 < len(sentence) < 250, what
        assert "\n" not in sentence and "Traceback" not in sentence, what
        assert str(tmp_path) not in sentence and str(cache.own_folder()) not in sentence, what
        assert "(taken)" not in sentence and "(served)" not in sentence, what
        assert "went wrong" not in sentence, what
    assert "far too large" in answers["a PNG that says 60000 x 60000"]
    assert "10000x10000" in answers["a decompression bomb"]
    for svg in ("SVG with a script", "SVG as PNG"):
        assert "is not an image in a format read here" in answers[svg]
    assert answers["temperature NaN"] == "Temperature: use a number"
    assert answers["seed 1e99"] == f"Seed: use a number from 0 to {values.LARGEST_SEED}"
    assert answers["a model that is not in the menu"] == "Model: choose one that the menu has"
    assert "not fetched from other servers" in answers["an address elsewhere as image"]
    forged = {answers[what] for what in hostile.BAD_PATHS if what.startswith("the same")}
    assert forged == {answers["a path of the server as image"]}
    assert answers["a file of 33 MB"] == "413: that is too large: at most 32 MB are taken here"


def test_pixels_are_counted_before_they_are_decoded(client: Client, tmp_path: Path) -> None:
    """The file is a head alone: who decodes first finds it damaged."""
    (tmp_path / "bomb.png").write_bytes(hostile.png_header(20_000, 20_000))
    call = {"api_name": "/upscale"}
    message = refusal(lambda: client.predict(handle_file(tmp_path / "bomb.png"), **call))
    assert "bomb.png is 20000x20000" in message or "far too large" in message, message


def test_bodies_without_a_length_are_bounded_too(address: str) -> None:
    def endless() -> Any:
        yield b'{"data": ["'
        for _ in range(40):
            yield b"x" * 2**16

    answer = httpx.post(f"{address}/gradio_api/call/upscale", content=endless())
    assert answer.status_code == 413 and "at most 64 KB" in answer.text


def test_the_queue_cannot_be_passed_by(address: str, small: Path) -> None:
    answer = httpx.post(f"{address}/gradio_api/run/upscale", json={"data": []})
    assert answer.status_code == 404


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "page.xhtml", "script.js"])
def test_uploads_are_never_served_as_pages(address: str, name: str) -> None:
    path = upload(address, name, hostile.SVG + b"<script>alert(1)</script>")
    answer = httpx.get(f"{address}/gradio_api/file={path}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = httpx.get(f"{address}/gradio_api/file={path}", headers={"Range": "bytes=0-20"})
    assert part.headers["content-type"] == "application/octet-stream"
    assert part.headers["x-content-type-options"] == "nosniff"


def test_of_polyglots_only_the_picture_comes_back(client: Client, tmp_path: Path) -> None:
    script = b"<script>alert(1)</script>PK\x03\x04"
    visitors.image(1).save(tmp_path / "both.png")
    with (tmp_path / "both.png").open("ab") as file:
        file.write(script)
    *_, answer = client.predict(handle_file(tmp_path / "both.png"), api_name="/upscale")
    content = Path(answer).read_bytes()
    assert content.startswith(b"\x89PNG") and content.endswith(b"IEND\xaeB`\x82")
    assert script not in content


def test_nothing_outside_the_cache_is_served(address: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    outside = [tmp_path / "secret.txt", "/etc/passwd", ROOT / "app.py", "app.py", ".ci/run"]
    steps = [f"{cache.own_folder()}/../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd"]
    for path in [*outside, *steps]:
        answer = httpx.get(f"{address}/gradio_api/file={path}")
        assert answer.status_code in (403, 404), path
        assert "root:" not in answer.text and "secret" not in answer.text.replace("secret.txt", "")


def test_the_page_tells_no_folder_of_the_server(address: str) -> None:
    cached = re.compile(re.escape(str(cache.own_folder())) + r"[\w./-]*")
    for page in ("/", "/config", "/gradio_api/info", "/gradio_api/openapi.json", "/nothing"):
        text = cached.sub("", httpx.get(address + page).text)
        for folder in (str(ROOT), str(Path.home()) + "/", sys.prefix, "Traceback"):
            assert folder not in text, page


def test_unused_doors_are_closed(address: str) -> None:
    doors = paths(page_of(address).app.routes)
    closed = {door for door in doors if not guard.is_open(door)}
    assert len(closed) > 30 and len(doors - closed) > 20
    assert {"/gradio_api/dev/reload", "/gradio_api/process_recording", "/token"} & doors <= closed
    for door in closed | {"/gradio_api/file=https://example.org", "/nothing"}:
        for answer in (httpx.get(address + door), httpx.post(address + door, json={})):
            assert answer.json() == {"detail": "this demo does not serve that"}, door


def paths(routes: list[Any]) -> set[str]:
    """Of all routes, those of routers within too."""
    found = {route.path for route in routes if hasattr(route, "path")}
    within = [getattr(route, "original_router", None) for route in routes]
    return found.union(*(paths(router.routes) for router in within if router is not None))


def test_malformed_calls_get_no_traceback(address: str) -> None:
    bodies = [b"", b"{", b"[]", b'{"data": 1}', b'{"data": []}', b'{"data": [1, 2, 3]}']
    for body in bodies:
        answer = httpx.post(f"{address}/gradio_api/call/upscale", content=body)
        assert answer.is_success or len(answer.json()["detail"]) > 20
        if answer.is_success:
            event = answer.json()["event_id"]
            answer = httpx.get(f"{address}/gradio_api/call/upscale/{event}", timeout=60)
            assert answer.text.startswith("event: error")
        assert "Traceback" not in answer.text and "site-packages" not in answer.text
        told = answer.text.replace("/gradio_api/info", "")
        assert "/" not in re.sub(r"https?://\S+", "", told)


def test_a_full_disk_is_told_without_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache.own_folder() / "tmp1" / "in-x4.png"
    with pytest.raises(gr.Error) as caught, values.readable():
        raise ImageError(f"{path} could not be written: No space left on device")
    assert caught.value.message == "in-x4.png could not be written: No space left on device"


def test_huge_names_of_files(client: Client, tmp_path: Path) -> None:
    name = "é" * 100 + ".png"
    visitors.image(2).save(tmp_path / name)
    *_, answer = client.predict(handle_file(tmp_path / name), api_name="/upscale")
    assert Path(answer).is_file()
    answer = httpx.post(
        f"{client.src}gradio_api/upload", files={"files": ("x" * 5000 + ".png", b"1")}
    )
    assert "Traceback" not in answer.text and str(cache.own_folder()) not in answer.text[:40]


def test_uploads_and_answers_are_deleted_after_an_hour(
    client: Client, address: str, tmp_path: Path
) -> None:
    path = Path(upload(address, "old.png", b"old"))
    visitors.image(3).save(tmp_path / "in.png")
    client.predict(handle_file(tmp_path / "in.png"), api_name="/upscale")
    young = Path(upload(address, "young.png", b"young"))
    before = {file for file in cache.own_folder().rglob("*") if file.is_file()}
    answers = {file for file in before if file.name == "in-photo-cnn-x4.png"}
    assert answers and path in before
    long_ago = time.time() - cache.AGE - 1
    for file in before - {young}:
        os.utime(file, (long_ago, long_ago))
    cache.tidy(page_of(address))
    after = {file for file in cache.own_folder().rglob("*") if file.is_file()}
    assert young in after and path not in after and not answers & after
    examples = [file for file in after if file.suffix == ".png" and file != young]
    assert examples  # the page's own stay
    config = json.dumps(httpx.get(f"{address}/config").json())
    assert any(file.name in config for file in examples)


def page_of(address: str) -> gr.Blocks:
    """The page that is served at an address by this process."""
    pages = (each for each in gc.get_objects() if isinstance(each, Page))
    return next(page for page in pages if (page.local_url or "").rstrip("/") == address)


def test_sweeping_goes_on_beside_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[gr.Blocks] = []
    monkeypatch.setattr(cache, "PAUSE", 0.01)
    monkeypatch.setattr(cache, "tidy", swept.append)
    with gr.Blocks() as blocks:
        pass

    async def serve() -> None:
        async with cache.swept(blocks)(None):
            await asyncio.sleep(0.2)

    asyncio.run(serve())
    assert sum(each is blocks for each in swept) > 2  # the page of other tests is swept too


def test_empty_folders_go_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "kept").touch()
    (tmp_path / "c").mkdir()
    assert cache.sweep(tmp_path, -1, {str(tmp_path / "a" / "b" / "kept")}) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert len(cache.sweep(tmp_path, -1)) == 1
    assert list(tmp_path.iterdir()) == []


AUDITED = """
import sys
asked = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        asked.append(arguments[1] if event == "socket.connect" else arguments[0])
sys.addaudithook(watch)
from hvae_sr.demo import catalogue, launch
import hvae_sr.demo
hvae_sr.demo.bundled_models = lambda: dict(list(catalogue.bundled_models().items())[:1])
blocks = launch(port=int(sys.argv[1]), block=False)
import time; time.sleep(1)
blocks.close()
print(sorted({str(each) for each in asked}))
"""


def test_no_request_leaves_the_machine(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AUDITED, str(free_port())]
    environment = {key: value for key, value in os.environ.items() if key != "GRADIO_TEMP_DIR"}
    environment["PYTHONPATH"] = str(ROOT)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    asked = run.stdout.splitlines()[-1]
    assert "127.0.0.1" in asked
    local = re.sub(
        r"\('(127\.0\.0\.1|localhost|::1)', \d+[\d, ]*\)|127\.0\.0\.1|localhost", "", asked
    )
    assert re.fullmatch(r"[\[\]\"', ]*", local), asked


def test_analytics_are_off(address: str) -> None:
    assert httpx.get(f"{address}/config").json()["analytics_enabled"] is False


def test_sixteen_clients_at_once_get_their_own_pictures(address: str, tmp_path: Path) -> None:
    crowd = load.crowded(address, psutil.Process(), tmp_path, 2 * load.PEOPLE)
    assert len(crowd.right) == 2 * load.PEOPLE and all(crowd.right)


def test_others_hardly_notice_the_worst_upload_known(address: str, tmp_path: Path) -> None:
    usual, meanwhile, sentence = load.beside(address, tmp_path)
    assert "more than 100 scans" in sentence
    assert float(meanwhile.split()[0]) < 2 * float(usual.split()[0]) + 1  # on a busy machine
