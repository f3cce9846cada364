"""Inputs that the demo refuses: files, values, paths, addresses, requests, and too many calls."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np

from benchmarks.demo_checks.visitors import Visitor, answered, image, named, said
from hvae_sr.demo import call_queue, movie, sample
from hvae_sr.demo.guard import LARGEST_FILE
from hvae_sr.demo.values import META


def refused(address: str, folder: Path) -> list[tuple[str, str]]:
    """Every bad input, and the one sentence that it gets."""
    visitor = Visitor(address)

    def asked(action: str, values: dict[str, Any]) -> str:
        return said(lambda: visitor.call(action, values))

    rows = [
        (what, asked(action, {slot: named(visitor.upload(file))}))
        for what, action, slot, file in bad_files(folder)
    ]
    good = folder / "good.png"
    image(0).save(good)
    given = {"image": named(visitor.upload(good))}
    rows += [(what, asked("upscale", {**given, **value})) for what, value in BAD_VALUES.items()]
    rows += [(what, asked("upscale", {"image": value})) for what, value in BAD_PATHS.items()]
    rows += [(f"`{what}`", answered(visitor.http.get(what[4:]))) for what in BAD_ADDRESSES]
    rows += [(what, answered(send(visitor.http))) for what, send in BAD_REQUESTS.items()]
    return [*rows, (f"call {call_queue.MOST_OPEN + 1} of one client", too_many(address))]


def too_many(address: str) -> str:
    """What a client is told whose earlier calls are still open."""
    visitor = Visitor(address, 1)
    many = {"num_samples": sample.MOST_SAMPLES}  # these keep the queue busy until the last call
    for _ in range(call_queue.MOST_OPEN):
        visitor.http.post("/gradio_api/call/v2/sample", json=many).raise_for_status()
    return answered(visitor.http.post("/gradio_api/call/v2/sample", json=many))


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
FORGED = "/etc/hostname"  # a file that many servers have
BAD_PATHS: dict[str, Any] = {
    "a path of the server as image": named("/etc/passwd"),
    "the same without gradio's mark": {"path": FORGED},
    "the same with another mark": {"path": FORGED, "meta": {"_type": "gradio.Other"}},
    "the same with a list as mark": {"path": FORGED, "meta": []},
    "a path with a null byte": named("/tmp/a\0b"),
    "a number as path": {"path": 7, "meta": dict(META)},
    "an address elsewhere as image": named("https://example.org/picture.png"),
    "an address of the machine as image": named("http://127.0.0.1:1/picture.png"),
    "lists in lists in lists": [[[[[[[[[[[["x"]]]]]]]]]]]],
}
BAD_ADDRESSES = (
    "GET /gradio_api/file=/etc/passwd",
    "GET /gradio_api/file=..%2f..%2f..%2fetc%2fpasswd",  # bare dots would not leave the client
    "GET /gradio_api/file=app.py",
    "GET /gradio_api/file=https://example.org/",
    "GET /gradio_api/proxy=https://example.org/",
    "GET /gradio_api/dev/reload",
    "GET /gradio_api/runs",
    "GET /monitoring/summary",
    "GET /nothing",
)
_CALL = "/gradio_api/call/upscale"
_UPLOAD = "/gradio_api/upload"
_CUT = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.png"\r\n\r\nabc'
_MULTIPART = {"content-type": "multipart/form-data; boundary=x"}
BAD_REQUESTS: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "an action that is none": lambda http: http.post("/gradio_api/call/other", json={"data": []}),
    "the same by its arguments": lambda http: http.post("/gradio_api/call/v2/other", json={}),
    "an argument that is none": lambda http: http.post(
        "/gradio_api/call/v2/upscale", json={"other": 1}
    ),
    "an event that is none": lambda http: http.post(
        "/gradio_api/queue/join", json={"data": [], "fn_index": 9999, "session_hash": "a"}
    ),
    "an event by its name, beside the queue": lambda http: http.post(
        "/gradio_api/run/upscale", json={"data": []}
    ),
    "no JSON": lambda http: http.post(_CALL, content=b"{"),
    "no object": lambda http: http.post(_CALL, json=[]),
    "no list of values": lambda http: http.post(_CALL, json={"data": 1}),
    "an upload without its form": lambda http: http.post(_UPLOAD, content=b"x"),
    "an upload without its boundary": lambda http: http.post(
        _UPLOAD, content=b"x", headers={"content-type": "multipart/form-data"}
    ),
    "an upload of nonsense": lambda http: http.post(_UPLOAD, content=b"x", headers=_MULTIPART),
    "an upload that is cut short": lambda http: http.post(
        _UPLOAD, content=_CUT, headers=_MULTIPART
    ),
    "a name of 5,000 letters": lambda http: http.post(
        _UPLOAD, files={"files": ("x" * 5000 + ".png", b"1")}
    ),
    "a file of 33 MB": lambda http: http.post(
        _UPLOAD, files={"files": ("large.png", bytes(LARGEST_FILE + 2**20))}
    ),
    "a call of 70 KB": lambda http: http.post(_CALL, json={"data": ["x" * 70_000]}),
    "another host's name": lambda http: http.get("/config", headers={"host": "evil.example"}),
    "an upload from another page": lambda http: http.post(
        _UPLOAD, files={"files": ("a.png", b"1")}, headers={"origin": "https://evil.example"}
    ),
}


def bad_files(folder: Path) -> list[tuple[str, str, str, Path]]:
    """(what it is, action, argument, file) of images and movies that the demo refuses."""
    png = io.BytesIO()
    image(0).save(png, "PNG")
    film = clip(folder / "film.mp4", 50).read_bytes()
    contents: dict[str, tuple[str, bytes]] = {
        "an empty file": ("empty.png", b""),
        "text as PNG": ("text.png", b"no image at all"),
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
        "an image as movie": ("picture.mp4", png.getvalue()),
        "a playlist as movie": ("list.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
    }
    rows = []
    for action, slot, group in (("upscale", "image", contents), ("movie", "movie", films)):
        for what, (name, content) in group.items():
            (folder / name).write_bytes(content)
            rows.append((what, action, slot, folder / name))
    frames = movie.MOST_FRAMES + 1
    rows.append((f"{frames} frames", "movie", "movie", clip(folder / "long.mp4", frames)))
    rows.append(("frames of 2048 x 2048", "movie", "movie", clip(folder / "large.mp4", 1, 2048)))
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
