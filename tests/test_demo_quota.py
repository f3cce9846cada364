"""The demo's disk: a quota, small metadata, and nothing left of broken uploads."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import hostile
import httpx
import pytest
from conftest import refusal
from gradio_client import Client, handle_file
from test_decoding import HOSTILE

from hvae_sr.demo import cache, files, quota, values
from hvae_sr.errors import HvaeSrError


@pytest.fixture
def address(client: Client) -> str:
    return client.src.rstrip("/")


def upload(address: str, content: bytes) -> httpx.Response:
    return httpx.post(f"{address}/gradio_api/upload", files={"files": ("in.png", content)})


@pytest.mark.parametrize("name", HOSTILE)
def test_the_demo_refuses_hostile_files(name: str, client: Client, tmp_path: Path) -> None:
    make, sentence = HOSTILE[name]
    call = {"api_name": "/upscale"}
    assert sentence in refusal(lambda: client.predict(handle_file(make(tmp_path / name)), **call))


def test_a_huge_profile_is_not_copied_into_sixteen_answers(client: Client, tmp_path: Path) -> None:
    path = hostile.with_profile(tmp_path / "in.webp", 30 * 2**20)
    before = cache.used(cache.own_folder())
    call: dict[str, Any] = {
        "model": "photo-hvae-x4",
        "num_samples": 16,
        "temperature": 1,
        "api_name": "/upscale",
    }
    assert "bytes for 16x16 pixels" in refusal(lambda: client.predict(handle_file(path), **call))
    assert cache.used(cache.own_folder()) < before + 31 * 2**20  # the upload alone


def test_over_the_quota_is_507_in_one_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "QUOTA", cache.used(cache.own_folder()) + 10_000)
    for path, body in (
        ("upload", {"files": {"files": ("a.png", bytes(20_000))}}),
        ("queue/join", {"content": bytes(20_000)}),
        ("call/upscale", {"content": bytes(20_000)}),
    ):
        answer = httpx.post(f"{address}/gradio_api/{path}", **body)
        assert (answer.status_code, answer.json()) == (507, {"detail": quota.FULL})
    assert upload(address, b"small").is_success  # there is room for that


def test_answers_over_the_quota_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "QUOTA", 0)
    with pytest.raises(gr.Error, match="disk space is used up"), values.readable():
        files.new_folder()


def test_a_disk_that_others_fill_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "RESERVE", 2**60)
    with pytest.raises(HvaeSrError, match="disk space is used up"):
        quota.check_room()


def test_bodies_that_come_in_together_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "room", lambda: 250)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)

    said: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            said.append(message["status"])

    async def together() -> None:
        guarded = quota.Quota(app)
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/gradio_api/upload",
            "headers": [(b"content-length", b"100")],
        }
        await asyncio.gather(*(guarded(scope, asyncio.sleep, send) for _ in range(4)))
        assert guarded.coming == []
        await guarded(scope, asyncio.sleep, send)

    asyncio.run(together())
    assert said == [507, 507]


def parts() -> list[Path]:
    return [path for path in cache.own_folder().glob("tmp*") if path.is_file()]


def test_a_broken_upload_leaves_nothing(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + bytes(100_000))
        assert until(lambda: len(parts()) == 1)
    assert until(lambda: not parts())


def until(happens: Any) -> bool:
    patience = time.monotonic() + 30
    while time.monotonic() < patience:
        if happens():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(cache, "own_folder", lambda: tmp_path)
    yield tmp_path


def aged(path: Path, seconds: float, size: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_parts_are_given_up_and_uploads_that_come_in_are_not(folder: Path) -> None:
    old, young = aged(folder / "tmp1", cache.PART_AGE + 5), aged(folder / "tmp2", 0)
    whole, lock = aged(folder / "hash" / "a.png", 100), aged(folder / cache.LOCK, 100)
    cache.sweep_parts(cache.PART_AGE)
    assert not old.exists() and young.exists() and whole.exists() and lock.exists()


def test_no_name_saves_an_upload_from_the_sweep(folder: Path) -> None:
    lock = aged(folder / cache.LOCK, 100)
    upload = aged(folder / "hash" / cache.LOCK, 100)
    assert cache.sweep(folder, 50) == [str(upload)] and lock.exists()


def test_many_small_files_fill_the_quota_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "QUOTA", 101 * cache.LEAST)
    for index in range(50):
        aged(folder / f"hash{index}" / "a.png", 0, 1)
    assert 0 < quota.room() <= cache.LEAST
    aged(folder / "hash" / "a.png", 0, 1)
    assert quota.room() < 0


def test_the_fuller_the_folder_the_younger_the_files_that_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gr.Blocks() as blocks:
        pass
    monkeypatch.setattr(cache, "QUOTA", 1000)
    monkeypatch.setattr(cache, "LEAST", 0)
    ages = (0.9, 0.5, 0.2)
    first, second, third = (aged(folder / "hash" / f"{age}", age * cache.AGE, 100) for age in ages)
    cache.tidy(blocks)
    assert not first.exists() and second.exists() and third.exists()
    aged(folder / "hash" / "large", 0, 500)
    cache.tidy(blocks)
    assert not second.exists() and third.exists()
