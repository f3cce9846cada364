"""Visitors of the demo, each with an address of its own, and the demo that they visit."""

import hashlib
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from hvae_sr.demo import catalogue
from hvae_sr.demo.values import META

SIDE = 32  # of the images they bring
START = "import sys; from hvae_sr.demo import launch; launch(port=int(sys.argv[1]))"
PATIENCE = 300  # seconds for the server to start, and for an answer


class RefusedError(Exception):
    """A call was answered with a sentence instead of a result."""


class Visitor:
    """A client with a loopback address of its own, as bare as an attacker's.

    Args:
        address: of the demo, without a slash at its end.
        number: 0 to 250: who it is.
    """

    def __init__(self, address: str, number: int = 0):
        transport = httpx.HTTPTransport(local_address=f"127.0.0.{number + 2}")
        self.http = httpx.Client(base_url=address, transport=transport, timeout=PATIENCE)

    def upload(self, file: Path) -> str:
        """Where the server keeps a file that it was sent."""
        files = {"files": (file.name, file.read_bytes())}
        (path,) = self.http.post("/gradio_api/upload", files=files).raise_for_status().json()
        return path

    def call(self, endpoint: str, values: dict[str, Any]) -> list[Any]:
        """What an action gives back, in a session of its own.

        Raises:
            RefusedError: with the sentence of a refusal.
        """
        # clients of gradio would not even send NaN
        asked = self.http.post(
            f"/gradio_api/call/v2/{endpoint}",
            content=json.dumps(values),
            headers={"content-type": "application/json"},
        )
        if not asked.is_success:
            raise RefusedError(_detail(asked))
        event, data = self.listen(f"/gradio_api/call/{endpoint}/{asked.json()['event_id']}")
        if event == "error":
            raise RefusedError(data["error"] if isinstance(data, dict) else data)
        return data

    def listen(self, path: str) -> tuple[str, Any]:
        """The last message of a stream of events: its kind, and what it says."""
        last = self.http.get(path).text.strip().split("\n\n")[-1]
        kind, _, data = last.rpartition("data: ")
        return kind.removeprefix("event: ").strip(), json.loads(data)

    def upscale(self, file: Path, model: str) -> Image.Image:
        """The answer to an image that is uploaded for it."""
        *_, answer = self.call("upscale", {"image": named(self.upload(file)), "model": model})
        served = self.http.get(f"/gradio_api/file={answer['path']}").raise_for_status()
        return Image.open(io.BytesIO(served.content))


@contextmanager
def served() -> Iterator[tuple[str, psutil.Process]]:
    """The demo in a process of its own, as anyone starts it: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", START, str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _await(address, server)
            yield address, psutil.Process(server.pid)
        finally:
            server.terminate()


def _await(address: str, server: subprocess.Popen[bytes]) -> None:
    patience = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < patience:
        try:
            httpx.get(address)
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise OSError("the demo did not start: see what `python app.py` says")


def image(index: int) -> Image.Image:
    """An image that no other index has: noise under soft shades."""
    noise = np.random.default_rng(index).integers(0, 64, (SIDE, SIDE, 3))
    shades = np.linspace(0, 191, SIDE)[:, None, None]
    return Image.fromarray((noise + shades).astype(np.uint8))


def fingerprint(image: Image.Image) -> str:
    """Of the pixels alone."""
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def fastest() -> str:
    """The bundled model with the fewest weights among those that enlarge photographs."""
    models = {
        name: each
        for name, each in catalogue.bundled_models().items()
        if not catalogue.can_sample(each)
    }
    return min(models, key=lambda name: sum(each.numel() for each in models[name].parameters()))


def said(call: Callable[[], Any]) -> str:
    """The sentence that a refused call gets."""
    try:
        call()
    except RefusedError as error:
        return str(error)
    return "(taken)"


def answered(response: httpx.Response) -> str:
    """How a request is answered: the code, and the sentence of a refusal."""
    if response.is_success:
        return f"{response.status_code} (served)"
    return f"{response.status_code}: {_detail(response)}"


def _detail(response: httpx.Response) -> str:
    try:
        return response.json()["detail"]
    except (ValueError, TypeError, KeyError):  # gradio's own words for some uploads
        return response.text


def named(path: str) -> dict[str, Any]:
    """A file that is named as one that was uploaded."""
    return {"path": path, "meta": dict(META)}
