"""Who may ask the demo for what: names, origins, doors, odd requests, ports."""

import asyncio
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from conftest import Nearest, free_port
from gradio.state_holder import SessionState
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from benchmarks.demo_checks import visitors
from hvae_sr import demo, load
from hvae_sr.demo import cache, connections, guard
from hvae_sr.demo.guard import Guard, Names
from hvae_sr.demo.page import Page

ROOT = Path(__file__).parent.parent


def started(**options: Any) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "bundled_models", lambda: {"nearest": Nearest()})
        return demo.launch(port=free_port(), block=False, **options)


@pytest.fixture(scope="module")
def blocks() -> Iterator[Page]:
    served = started()
    yield served
    served.close()


@pytest.fixture(scope="module")
def address(blocks: Page) -> str:
    return str(blocks.local_url).rstrip("/")


# names


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("localhost", 200),
        ("127.0.0.1:{port}", 200),
        ("[::1]:{port}", 200),
        ("LOCALHOST.:{port}", 200),
        ("evil.example", 421),
        ("evil.example:{port}", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1@evil.example", 421),
        ("evil.example@127.0.0.1", 421),
        ("127.0.0.1/evil.example", 421),
        ("192.168.0.7", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_on_loopback_only_loopback_names_are_answered(address: str, name: str, code: int) -> None:
    host = name.format(port=httpx.URL(address).port)
    answer = httpx.get(f"{address}/config", headers={"host": host})
    assert answer.status_code == code
    if code != 200:
        assert "--allowed-host" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("host", "allowed", "inside", "outside"),
    [
        ("127.0.0.1", ["demo.example"], ["demo.example", "::1"], ["other.example", "10.0.0.1"]),
        ("[::1]", [], ["::1", "localhost"], ["evil.example"]),
        ("0.0.0.0", ["demo.example"], ["demo.example", "10.0.0.1", "fd00::1"], ["evil.example"]),
        ("0.0.0.0", [], ["anything.example", "10.0.0.1"], [None]),
        ("server.example", [], ["server.example", "10.0.0.1"], ["evil.example"]),
    ],
)
def test_names(host: str, allowed: list[str], inside: list[str], outside: list[str]) -> None:
    names = Names(host, allowed)
    assert all(name in names for name in inside)
    assert not any(name in names for name in outside)
    assert names.unguarded == (host == "0.0.0.0" and not allowed)


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        (None, 200),
        ("{address}", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),  # another server of this machine
        ("https://demo.example", 403),
    ],
)
@pytest.mark.parametrize("path", ["upload", "queue/join", "cancel", "run/predict"])
def test_calls_from_other_pages_are_refused(
    address: str, origin: str | None, code: int, path: str
) -> None:
    headers = {} if origin is None else {"origin": origin.format(address=address)}
    send: dict[str, Any] = {"json": {}}
    if path == "upload":
        send = {"files": {"files": ("a.png", b"1")}}
    answer = httpx.post(f"{address}/gradio_api/{path}", headers=headers, **send)
    assert (answer.status_code == 403) == (code == 403)
    if code == 403:
        assert "calls from other pages" in answer.json()["detail"]


def test_a_rebound_name_uploads_nothing(address: str) -> None:
    """A page whose own name was pointed here: its Host and its Origin agree."""
    foreign = {"host": "evil.example", "origin": "http://evil.example"}
    before = set(cache.own_folder().rglob("*"))
    answer = httpx.post(
        f"{address}/gradio_api/upload", headers=foreign, files={"files": ("a.png", b"1")}
    )
    assert answer.status_code == 421
    assert set(cache.own_folder().rglob("*")) == before


def test_a_space_answers_to_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "someone-demo.hf.space")
    served = started(host="0.0.0.0")
    try:
        at = f"http://127.0.0.1:{served.server_port}/config"
        name = {"host": "someone-demo.hf.space", "x-forwarded-proto": "https"}
        assert httpx.get(at, headers=name).json()["root"] == "https://someone-demo.hf.space"
        assert httpx.get(at, headers={"host": "evil.example"}).status_code == 421
    finally:
        served.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_it_listens_on_the_loopback_of_ipv6(host: str) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    served = started(host=host)
    try:
        at = f"http://[::1]:{served.server_port}/config"
        assert httpx.get(at).status_code == 200
        assert httpx.get(at, headers={"host": "evil.example"}).status_code == 421
    finally:
        served.close()


def test_all_addresses_without_names_warn(caplog: pytest.LogCaptureFixture) -> None:
    served = started(host="0.0.0.0")
    try:
        assert "--allowed-host" in caplog.text
        at = f"http://127.0.0.1:{served.server_port}/config"
        assert httpx.get(at, headers={"host": "any.example"}).status_code == 200
    finally:
        served.close()


# the middleware alone


async def answers(
    route: Any, *, proxies: tuple[str, ...] = (), peer: str = "10.0.0.9", **request: Any
) -> httpx.Response:
    class Behind:
        def restore(self) -> None:
            pass

    paths = ("/config", "/gradio_api/upload", "/gradio_api/call/x")
    app = Router([Route(path, route, methods=["GET", "POST"]) for path in paths])
    guarded = Guard(app, Behind(), Names("127.0.0.1"), proxies)
    transport = httpx.ASGITransport(guarded, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.request(**request)


def ask(route: Any, **request: Any) -> httpx.Response:
    return asyncio.run(answers(route, **{"method": "GET", "url": "/config", **request}))


@pytest.mark.parametrize(
    ("error", "url", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/secret"), "/config", 507, "is full"),
        (OSError(errno.EDQUOT, "quota", "/secret"), "/gradio_api/upload", 507, "is full"),
        (OSError(errno.EIO, "broken", "/secret"), "/config", 500, "went wrong on the server"),
        (KeyError("secret"), "/gradio_api/call/x", 404, "no such action"),
        (TypeError("secret"), "/gradio_api/call/x", 422, "not the arguments"),
        (AttributeError("secret"), "/gradio_api/upload", 400, "upload was not understood"),
        (ZeroDivisionError("secret"), "/gradio_api/call/x", 500, "went wrong on the server"),
    ],
)
def test_errors_nobody_foresaw_are_one_sentence(
    error: Exception, url: str, code: int, words: str
) -> None:
    async def fails(request: Request) -> Response:
        raise error

    answer = ask(fails, url=url)
    assert answer.status_code == code and words in answer.json()["detail"]
    assert "secret" not in answer.text and "Traceback" not in answer.text


async def peer_of(request: Request) -> Response:
    assert request.client is not None
    told = {"peer": request.client.host, "scheme": request.url.scheme}
    forwarded = [name for name in request.headers if name.startswith("x-forwarded")]
    return Response(json.dumps({**told, "forwarded": forwarded}))


def test_only_a_trusted_proxy_says_who_asks() -> None:
    claims = {
        "x-forwarded-for": "203.0.113.5",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example",
    }
    stranger = ask(peer_of, headers=claims).json()
    assert stranger == {"peer": "10.0.0.9", "scheme": "http", "forwarded": []}
    local = ask(peer_of, headers=claims, peer="127.0.0.1").json()
    assert local == {"peer": "127.0.0.1", "scheme": "http", "forwarded": []}
    for proxies in (("10.0.0.9",), ("10.0.0.0/24",), ("*",)):
        trusted = ask(peer_of, headers=claims, proxies=proxies).json()
        assert trusted["peer"] == "203.0.113.5" and trusted["scheme"] == "https"


def test_what_a_visitor_of_a_space_claims_is_not_believed() -> None:
    """A proxy adds who asked it to what that one said himself."""
    claims = {"x-forwarded-for": "198.51.100.1, 203.0.113.5, 10.1.2.3"}
    assert ask(peer_of, headers=claims, proxies=demo.INSIDE).json()["peer"] == "203.0.113.5"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("bytes=0-10", "bytes=0-10"),
        ("bytes=5-", "bytes=5-"),
        ("bytes=-5", "bytes=-5"),
        ("bytes=0-1,3-4", None),
        ("bytes=1-2-3", None),
        ("bytes=\xb2-\xb3", None),
    ],
)
def test_only_single_ranges_reach_gradio(given: str, kept: str | None) -> None:
    async def told(request: Request) -> Response:
        return PlainTextResponse(str(request.headers.get("range")))

    assert ask(told, headers={"range": given.encode("latin-1")}).text == str(kept)


def test_a_page_that_is_none_is_one_sentence(address: str) -> None:
    answer = httpx.get(f"{address}/?page=other")
    assert answer.status_code == 404 and "one page" in answer.json()["detail"]


def test_bodies_have_to_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHUNK_TIME", 0.1)

    async def reads(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def drops() -> Any:
        yield b"a"
        await asyncio.sleep(5)
        yield b"b"

    start = time.monotonic()
    answer = ask(reads, method="POST", content=drops())
    assert answer.status_code == 408 and "too long to arrive" in answer.json()["detail"]
    assert time.monotonic() - start < 4


def test_a_length_that_is_no_number_is_refused(address: str) -> None:
    at = httpx.URL(address)
    with socket.create_connection((at.host, at.port), timeout=10) as connection:
        head = b"POST /gradio_api/upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n"
        connection.sendall(head)
        assert b" 4" in connection.recv(100)[:12]


@pytest.mark.parametrize("head", [b"", b"GET /config HTTP/1.1\r\nhost: local"])
def test_connections_without_a_request_are_closed(
    address: str, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIME", 0.2)
    at = httpx.URL(address)
    with socket.create_connection((at.host, at.port), timeout=20) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b""


def test_a_connection_is_used_again_and_a_long_answer_is_left_alone(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIME", 0.2)
    at = httpx.URL(address)
    with socket.create_connection((at.host, at.port), timeout=20) as connection:
        connection.sendall(b"GET /robots.txt HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(10_000)
        connection.sendall(b"GET /gradio_api/heartbeat/abc HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while b"ALIVE" not in connection.recv(10_000):
            pass
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            while connection.recv(10_000):
                pass
            pytest.fail("closed")


# files, ports, examples


def test_a_full_disk_is_told_in_a_sentence(
    address: str, blocks: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    monkeypatch.setattr("gradio.route_utils.NamedTemporaryFile", full, raising=False)
    files = {"files": ("a.png", b"1" * 10_000)}
    answer = httpx.post(f"{address}/gradio_api/upload", files=files)
    assert answer.status_code == 507
    assert answer.json()["detail"] == "the disk of the server is full: try again later"


def test_events_that_fail_unforeseen_end_in_a_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr("hvae_sr.demo.answers.bicubic", fails)
    visitors.image(0).save(tmp_path / "in.png")
    with pytest.raises(visitors.RefusedError, match="went wrong on the server"):
        visitors.Visitor(address).upscale(tmp_path / "in.png", "nearest")


ODD: list[Any] = [
    *(None, True, -1, 0.5, 1e308, float("nan"), float("-inf"), 10**400, "", "x" * 999, "\ud800"),
    *(
        [],
        [None],
        [[1]],
        {},
        {"value": 1},
        {"path": None},
        {"url": "x"},
        {"meta": 1},
        {"path": "x"},
    ),
    {"__type__": "update", "value": 1},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}, "is_stream": True},
]


def test_odd_values_of_every_event_end_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """Each odd value in each place, the others as the page sends them."""
    page = demo.build({name: load(name) for name in ("vae-cifar10-x4", "photo-cnn-x2")})
    state, asked = SessionState(page), 0

    def ask(fn: Any, inputs: list[Any], data: Any) -> None:
        event = gr.EventData(None, data)
        request = gr.Request(session_hash="odd")
        call = page.process_api(fn, inputs, state, request, event_data=event)
        try:
            asyncio.run(call)
        except gr.Error as error:
            assert 15 < len(error.message) < 250 and "went wrong" not in error.message
            assert error.print_exception is False

    for fn in page.fns.values():
        usual = [getattr(each, "value", None) for each in fn.inputs]
        for value in ODD:
            ask(fn, [value] * len(usual), value)
            asked += 1
            for place in range(len(usual)):
                if fn.api_name in ("sample", "interpolate", "levels") and value in (
                    None,
                    0.5,
                    True,
                ):
                    continue  # some of these are fine, and would only take time
                ask(fn, [*usual[:place], value, *usual[place + 1 :]], None)
                asked += 1
    assert asked > 600 and "failed" not in caplog.text


def test_the_examples_survive_a_vanished_folder(address: str, tmp_path: Path) -> None:
    page = httpx.get(f"{address}/config").json()
    shown = [
        sample[0]["path"]
        for each in page["components"]
        if each["type"] == "dataset"
        for sample in each["props"]["samples"]
    ]
    assert len(shown) >= 6
    shutil.rmtree(cache.own_folder())
    for path in shown:
        answer = httpx.get(f"{address}/gradio_api/file={path}")
        assert answer.status_code == 200 and answer.content.startswith(b"\x89PNG")
    shutil.rmtree(cache.own_folder())
    visitors.image(0).save(tmp_path / "in.png")
    visitor = visitors.Visitor(address)
    assert visitor.upscale(tmp_path / "in.png", "nearest").size == (2 * visitors.SIDE,) * 2


def test_a_taken_port_is_told_before_models_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "bundled_models", lambda: pytest.fail("loaded"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"is taken: choose another one with --port"):
            demo.launch(port=taken.getsockname()[1])


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_foreign_address_is_told_before_models_are_loaded(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "bundled_models", lambda: pytest.fail("loaded"))
    with pytest.raises(OSError, match="with --host"):
        demo.launch(host=host, port=free_port())


def test_the_entry_point_ends_in_a_sentence_when_the_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            [sys.executable, str(ROOT / "app.py"), "--port", port],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert run.returncode == 2
    assert run.stderr.startswith("app.py: ") and "--port" in run.stderr
    assert "Traceback" not in run.stderr
