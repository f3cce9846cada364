"""The demo's actions as tools of an MCP client."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import free_port
from PIL import Image

from benchmarks.demo_checks import visitors
from hvae_sr import demo, load
from hvae_sr.demo import cache
from hvae_sr.errors import HvaeSrError

pytest.importorskip("mcp", reason='the MCP tests need pip install "hvae-sr[mcp]"')

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

MODEL = "photo-cnn-x2"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "bundled_models", lambda: {MODEL: load(MODEL)})
        blocks = demo.launch(port=free_port(), mcp=True, block=False)
    yield blocks.local_url
    blocks.close()


def in_session(address: str, work: Any) -> Any:
    async def run() -> Any:
        async with (
            streamablehttp_client(f"{address}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await work(session)

    return asyncio.run(run())


async def heard(progress: float, total: float | None, message: str | None) -> None:
    """What a client that asks for progress is told."""


def data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def test_every_action_is_a_documented_tool(address: str) -> None:
    tools = {each.name: each for each in in_session(address, lambda s: s.list_tools()).tools}
    endpoints = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"]
    assert set(tools) == {name.strip("/") for name in endpoints}
    for tool in tools.values():
        assert len(tool.description) > 100
        assert all(each["type"] for each in tool.inputSchema["properties"].values())


def test_descriptions_are_whole(address: str) -> None:
    tools = {each.name: each for each in in_session(address, lambda s: s.list_tools()).tools}
    told = {name: tool.inputSchema["properties"] for name, tool in tools.items()}
    for arguments in told.values():
        assert all(len(each.get("description", "")) > 10 for each in arguments.values())
    size = told["upscale"]["size"]["description"]
    assert size.startswith('"model" for') and "WIDTHxHEIGHT to fit into." in size
    assert f"{MODEL} · photographs · x2 · Set5" in told["upscale"]["model"]["description"]


@pytest.mark.parametrize("progress", [None, heard])
def test_an_image_goes_through_a_tool(address: str, progress: Any) -> None:
    arguments = {"image": data_url(visitors.image(1)), "model": MODEL}
    result = in_session(
        address, lambda s: s.call_tool("upscale", arguments, progress_callback=progress)
    )
    assert not result.isError, result.content
    direct = visitors.fingerprint(load(MODEL).upscale(visitors.image(1)))
    image, text = result.content
    inline = Image.open(io.BytesIO(base64.b64decode(image.data)))
    assert (image.type, visitors.fingerprint(inline)) == ("image", direct)
    numbers = result.structuredContent
    assert numbers == json.loads(text.text)
    side = visitors.SIDE
    assert (numbers["model"], numbers["width"], numbers["input_width"]) == (MODEL, 2 * side, side)
    (file,) = numbers["files"]
    fetched = Image.open(io.BytesIO(httpx.get(file["url"]).raise_for_status().content))
    assert file["name"] == f"file-{MODEL}.png" and visitors.fingerprint(fetched) == direct
    assert str(cache.own_folder()) not in str(result)
    # what came inside the call lies where it is swept
    assert list(cache.own_folder().rglob("file.png"))


def test_addresses_without_a_folder_lead_nowhere_else(address: str) -> None:
    secret = cache.own_folder().parent / "secret-beside.png"
    secret.write_bytes(b"secret")
    try:
        for path in (secret.name, f"x/../../{secret.name}", f"..%2f{secret.name}", "etc/passwd"):
            answer = httpx.get(f"{address}gradio_api/file=own/../{path}")
            assert answer.status_code in (403, 404) and answer.content != b"secret"
            answer = httpx.get(f"{address}gradio_api/file=own/{path}")
            assert answer.status_code in (403, 404) and answer.content != b"secret"
    finally:
        secret.unlink()


def test_tools_refuse_in_a_sentence(address: str) -> None:
    arguments = {"image": "https://example.org/a.png", "model": MODEL}
    result = in_session(address, lambda s: s.call_tool("upscale", arguments))
    assert result.isError and "not fetched from other servers" in str(result.content)


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HvaeSrError, match=r'pip install "hvae-sr\[mcp\]"'):
        demo.launch(mcp=True)
