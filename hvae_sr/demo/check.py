"""The demo under load and bad input: what `hvae-sr check-demo` prints, as Markdown tables."""

import hashlib
import io
import json
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from hvae_sr.demo import movie, shared
from hvae_sr.demo.guard import LARGEST_FILE
from hvae_sr.hub import load

PEOPLE = 16
SIDE = 32  # of the pictures they bring
WARM_UP = 20  # answers after which memory is first looked at
START = "import sys; from hvae_sr.demo import launch; launch(port=int(sys.argv[1]))"
PATIENCE = 300  # seconds for the server to start


def report(requests: int = 200) -> str:
    """Start the demo in a process of its own and put it to the three tests."""
    with tempfile.TemporaryDirectory() as name, served() as (address, process):
        folder = Path(name)
        crowd = crowded(address, folder)
        return "\n".join(
            [
                f"{PEOPLE} clients at once, each with a picture of its own:\n",
                table(("answered rightly", "all at once", "one after another"), [crowd.row()]),
                "Resident memory of the server:\n",
                table(("answers", "MiB"), memory(address, process, folder, requests)),
                "Bad inputs, and what is said to them:\n",
                table(("input", "answer"), refused(address, folder)),
            ]
        )


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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


def visitor(address: str, folder: Path) -> Client:
    """A client with a session of its own that keeps what it gets in `folder`."""
    return Client(address, verbose=False, analytics_enabled=False, download_files=folder)


def picture(index: int) -> Image.Image:
    """A picture that no other index has: noise under soft shades."""
    noise = np.random.default_rng(index).integers(0, 64, (SIDE, SIDE, 3))
    shades = np.linspace(0, 191, SIDE)[:, None, None]
    return Image.fromarray((noise + shades).astype(np.uint8))


def fingerprint(image: Image.Image) -> str:
    """Of the pixels alone."""
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


@dataclass(frozen=True)
class Crowd:
    """What came of many visitors at once.

    Args:
        right: how many got the very pixels that a direct call gives for their own picture.
        at_once, in_turn: seconds for all of them together, and one after another.
    """

    right: int
    at_once: float
    in_turn: float

    def row(self) -> tuple[str, ...]:
        return f"{self.right} of {PEOPLE}", f"{self.at_once:.1f} s", f"{self.in_turn:.1f} s"


def crowded(address: str, folder: Path) -> Crowd:
    """Sixteen clients ask at once, each for its own picture, then one after another."""
    model = next(name for name, each in shared.shelf().items() if not shared.can_sample(each))
    direct = load(model)
    files = []
    for index in range(PEOPLE):
        files.append(folder / f"picture-{index}.png")
        picture(index).save(files[-1])
    expected = [fingerprint(direct.upscale(Image.open(file))) for file in files]
    visitors = [visitor(address, folder) for _ in files]

    def ask(client: Client, file: Path) -> str:
        *_, answer = client.predict(handle_file(file), model=model, api_name="/upscale")
        return fingerprint(Image.open(answer))

    with ThreadPoolExecutor(PEOPLE) as pool:
        start = time.perf_counter()
        found = list(pool.map(ask, visitors, files))
        at_once = time.perf_counter() - start
    start = time.perf_counter()
    again = list(map(ask, visitors, files))
    in_turn = time.perf_counter() - start
    right = sum(a == b == c for a, b, c in zip(expected, found, again, strict=True))
    return Crowd(right, at_once, in_turn)


def memory(
    address: str, process: psutil.Process, folder: Path, requests: int
) -> list[tuple[str, str]]:
    """Resident memory after a warm-up and then after each tenth of `requests` answers."""
    client, file = visitor(address, folder), folder / "memory.png"

    def answer(index: int) -> None:
        picture(index).save(file)
        client.predict(handle_file(file), api_name="/upscale")

    for index in range(WARM_UP):
        answer(index)
    rows = [("0", _mebibytes(process))]
    for index in range(requests):
        answer(index)
        if (index + 1) % max(requests // 10, 1) == 0:
            rows.append((str(index + 1), _mebibytes(process)))
    return rows


def _mebibytes(process: psutil.Process) -> str:
    return str(process.memory_info().rss // 2**20)


def refused(address: str, folder: Path) -> list[tuple[str, str]]:
    """Every bad input, and the one sentence that it gets."""
    client = visitor(address, folder)

    def sent(file: Path, endpoint: str) -> str:
        return said(lambda: client.predict(handle_file(file), api_name=endpoint))

    files = [(what, sent(file, endpoint)) for what, endpoint, file in bad_files(folder)]
    good = folder / "good.png"
    picture(0).save(good)
    picked = _named(uploaded(address, good))
    values = [
        (what, asked(address, {"picture": picked, **value})) for what, value in BAD_VALUES.items()
    ]
    paths = [(what, asked(address, {"picture": _named(path)})) for what, path in BAD_PATHS.items()]
    addresses = [(f"`GET {path}`", fetched(address + path)) for path in BAD_ADDRESSES]
    return [*files, *values, *paths, *addresses, ("a file of 33 MB", too_many_bytes(address))]


BAD_VALUES: dict[str, dict[str, Any]] = {
    "a model that is not in the menu": {"model": "../../etc/passwd"},
    "a list instead of a model": {"model": ["photo-cnn-x4"]},
    "no model": {"model": None},
    "17 samples": {"num_samples": 17},
    "`many` samples": {"num_samples": "many"},
    "temperature NaN": {"temperature": float("nan")},
    "temperature infinite": {"temperature": float("inf")},
    "no seed": {"seed": None},
    "seed 1e99": {"seed": 1e99},
    "`maybe` consistent": {"consistent": "maybe"},
}
BAD_PATHS = {
    "a path of the server as picture": "/etc/passwd",
    "an address elsewhere as picture": "https://example.org/picture.png",
    "an address of the machine as picture": "http://127.0.0.1:1/picture.png",
}
BAD_ADDRESSES = (
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file=..%2f..%2f..%2fetc%2fpasswd",  # bare dots would not leave the client
    "/gradio_api/file=app.py",
    "/gradio_api/file=pyproject.toml",
    "/gradio_api/file=https://example.org/",
    "/gradio_api/proxy=https://example.org/",
)


def _named(path: str) -> dict[str, Any]:
    """A file that is named, not uploaded."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def said(call: Callable[[], Any]) -> str:
    """The sentence that a refused call gets."""
    try:
        call()
    except AppError as error:
        return str(error)
    return "(taken)"


def uploaded(address: str, file: Path) -> str:
    """Where the server keeps a file that it was sent."""
    files = {"files": (file.name, file.read_bytes())}
    (path,) = httpx.post(f"{address}/gradio_api/upload", files=files).raise_for_status().json()
    return path


def asked(address: str, values: dict[str, Any]) -> str:
    """The sentence that bare values for /upscale get: clients of gradio would not even send NaN."""
    calls = f"{address}/gradio_api/call"
    kind = {"content-type": "application/json"}
    answer = httpx.post(f"{calls}/v2/upscale", content=json.dumps(values), headers=kind)
    event = answer.raise_for_status().json()["event_id"]
    told = httpx.get(f"{calls}/upscale/{event}", timeout=60).text
    event, _, data = told.partition("\ndata: ")
    return json.loads(data)["error"] if event == "event: error" else "(taken)"


def fetched(address: str) -> str:
    """How a request is answered: the code, and the sentence of a refusal."""
    response = httpx.get(address)
    if response.is_success:
        return f"{response.status_code} (served)"
    return f"{response.status_code}: {response.json()['detail']}"


def too_many_bytes(address: str) -> str:
    """What an upload over the limit is told."""
    files = {"files": ("large.png", bytes(LARGEST_FILE + 2**20))}
    response = httpx.post(f"{address}/gradio_api/upload", files=files)
    return f"{response.status_code}: {response.json()['detail']}"


def bad_files(folder: Path) -> list[tuple[str, str, Path]]:
    """(what it is, endpoint, file) of pictures and movies that the demo refuses."""
    png = io.BytesIO()
    picture(0).save(png, "PNG")
    film = clip(folder / "film.mp4", 50).read_bytes()
    contents: dict[str, tuple[str, bytes]] = {
        "an empty file": ("empty.png", b""),
        "text as PNG": ("text.png", b"no picture at all"),
        "half a PNG": ("half.png", png.getvalue()[: len(png.getvalue()) // 2]),
        "a PNG that says 60000 x 60000": ("header.png", png_header(60_000, 60_000)),
        "a decompression bomb": ("bomb.png", bomb()),
        "SVG with a script": ("drawing.svg", SVG),
        "SVG as PNG": ("drawing.png", SVG),
        "a page that begins like a GIF": ("page.gif", b"GIF89a/*<script>alert(1)</script>*/"),
    }
    films = {
        "a movie of no bytes": ("empty.mp4", b""),
        "half a movie": ("half.mp4", film[: len(film) // 2]),
        "a picture as movie": ("picture.mp4", png.getvalue()),
        "a playlist as movie": ("list.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
    }
    rows = []
    for endpoint, group in (("/upscale", contents), ("/movie", films)):
        for what, (name, content) in group.items():
            (folder / name).write_bytes(content)
            rows.append((what, endpoint, folder / name))
    frames = movie.MOST_FRAMES + 1
    rows.append((f"{frames} frames", "/movie", clip(folder / "long.mp4", frames)))
    rows.append(("frames of 2048 x 2048", "/movie", clip(folder / "large.mp4", 1, 2048)))
    return rows


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def png_header(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG file of 8-bit grey that promises a size and holds whatever pixels are given."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", size + bytes([8, 0, 0, 0, 0])),
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    ):
        file += len(body).to_bytes(4, "big") + kind + body
        file += zlib.crc32(kind + body).to_bytes(4, "big")
    return file


def bomb() -> bytes:
    """A PNG of a few kilobytes that unpacks to 100 megabytes."""
    return png_header(10_000, 10_000, bytes(10_001) * 10_000)


def clip(path: Path, frames: int, side: int = 32) -> Path:
    """A movie of grey frames."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((side, side, 3), 99, np.uint8), "rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path
