"""Start the demo and print what load, attacks and faults do to it, as Markdown tables.

    python -m benchmarks check-demo --requests 200

Only this machine is asked, at loopback addresses.
"""

import hashlib
import io
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from benchmarks import parser
from hvae_sr.demo import call_queue, catalogue, movie, sample
from hvae_sr.demo.guard import LARGEST_FILE
from hvae_sr.demo.values import META
from hvae_sr.evaluation.markdown import table
from hvae_sr.hub import load

PEOPLE = 16  # each with an address of its own, from 127.0.0.2 on
SIDE = 32  # of the images they bring
WARM_UP = 32  # answers before memory is first looked at
SESSIONS = 1000  # that are opened for a small event of the page each
BESIDE = 12  # answers that are timed while an upload is refused
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


def report(requests: int = 200) -> str:
    """Start the demo in a process of its own and put it to every test, as Markdown.

    Args:
        requests: answers over which memory and times are watched.
    """
    with tempfile.TemporaryDirectory() as name, served() as (address, process):
        folder = Path(name)
        crowd = crowded(address, process, folder, requests)
        tries = refused(address, folder)
        head = ("asked", "answered rightly", "median", "95 of 100 within", "memory")
        besides = beside(address, folder)
        many = sessions(address, process)
        return "\n\n".join(
            [
                f"{PEOPLE} clients at once, every request in a new session, every image new:",
                table(head, [crowd.row()]),
                f"{SESSIONS} sessions that ask for a small event each: resident memory",
                table(("before", "after"), [many]),
                "Another client's answers while the worst upload known is refused:",
                table(("usually", "meanwhile", "refused"), [besides]),
                f"{len(tries)} bad inputs, and what is said to them:",
                table(("input", "answer"), tries),
                "Faults, and what becomes of them:",
                table(("fault", "outcome"), faults(address, process, folder)),
            ]
        )


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


@dataclass(frozen=True)
class Crowd:
    """What came of many visitors at once.

    Args:
        right: for each request, whether it got the very pixels that a direct call gives for its
            own image.
        seconds: that each of them took, from the upload to the image.
        before, after: resident memory of the server, bytes.
    """

    right: list[bool]
    seconds: list[float] = field(repr=False)
    before: int
    after: int

    @property
    def late(self) -> float:
        """Seconds within which 95 of 100 requests are answered."""
        return float(np.percentile(self.seconds, 95))

    def row(self) -> tuple[str, ...]:
        return (
            str(len(self.right)),
            str(sum(self.right)),
            f"{statistics.median(self.seconds):.1f} s",
            f"{self.late:.1f} s",
            f"{_mebibytes(self.before)} to {_mebibytes(self.after)}",
        )


def crowded(address: str, process: psutil.Process, folder: Path, requests: int) -> Crowd:
    """Sixteen clients keep asking at once, each request with an image of its own."""
    name = fastest()
    direct = load(name)
    visitors = [Visitor(address, number) for number in range(PEOPLE)]

    def ask(index: int) -> tuple[bool, float]:
        file = folder / f"picture-{index}.png"
        image(index).save(file)
        start = time.perf_counter()
        answer = visitors[index % PEOPLE].upscale(file, name)
        seconds = time.perf_counter() - start
        return fingerprint(answer) == expected[index], seconds

    expected = {n: fingerprint(direct.upscale(image(n))) for n in range(WARM_UP + requests)}
    with ThreadPoolExecutor(PEOPLE) as pool:
        list(pool.map(ask, range(WARM_UP)))
        before = process.memory_info().rss
        found = list(pool.map(ask, range(WARM_UP, WARM_UP + requests)))
        after = process.memory_info().rss
    right, seconds = zip(*found, strict=True)
    return Crowd(list(right), list(seconds), before, after)


def fastest() -> str:
    """The bundled model with the fewest weights among those that enlarge photographs."""
    models = {
        name: each
        for name, each in catalogue.bundled_models().items()
        if not catalogue.can_sample(each)
    }
    return min(models, key=lambda name: sum(each.numel() for each in models[name].parameters()))


def sessions(address: str, process: psutil.Process) -> tuple[str, str]:
    """Resident memory before and after a small event of the page in each of many sessions."""
    visitor = Visitor(address)
    page = visitor.http.get("/config").json()
    number, inputs = next(
        (each["id"], each["inputs"])
        for each in page["dependencies"]
        if each["backend_fn"] and not each["queue"] and len(each["inputs"]) == 1
    )

    def opened(count: int, name: str) -> int:
        for index in range(count):
            body = {"fn_index": number, "data": [0] * len(inputs)}
            body["session_hash"] = f"{name}{index}"
            visitor.http.post("/gradio_api/run/predict", json=body)
        return process.memory_info().rss

    before = opened(SESSIONS // 5, "first")
    return _mebibytes(before), _mebibytes(opened(SESSIONS, "more"))


def _mebibytes(size: int) -> str:
    return f"{size // 2**20} MiB"


def beside(address: str, folder: Path) -> tuple[str, str, str]:
    """Median seconds of an answer, alone and while another client's upload is refused; its answer.

    The upload is a progressive JPEG of a few pixels that draws its last scan until the file is as
    large as the demo takes.
    """
    name, visitor, attacker = fastest(), Visitor(address), Visitor(address, PEOPLE)
    good, worst = folder / "good.png", folder / "scans.jpg"
    image(0).save(good)
    worst.write_bytes(repeated_scans(LARGEST_FILE - 2**16))

    def seconds() -> float:
        start = time.perf_counter()
        visitor.upscale(good, name)
        return time.perf_counter() - start

    usual = statistics.median(seconds() for _ in range(BESIDE))
    sentences: list[str] = []
    taken: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        while len(taken) < BESIDE:
            attack = pool.submit(said, lambda: attacker.upscale(worst, name))
            taken.append(seconds())
            while not attack.done() and len(taken) < 100 * BESIDE:
                taken.append(seconds())
            sentences.append(attack.result())
    return f"{usual:.2f} s", f"{statistics.median(taken):.2f} s", sentences[-1]


def repeated_scans(size: int) -> bytes:
    """A progressive JPEG of 256 x 256 pixels and `size` bytes, nearly all in scans of a few."""
    file = io.BytesIO()
    Image.new("L", (256, 256), 90).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + scan * ((size - len(whole)) // len(scan)) + whole[-2:]


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


def faults(address: str, process: psutil.Process, folder: Path) -> list[tuple[str, str]]:
    """What clients and machines do to a server by accident; the last of them ends it."""
    film = clip(folder / "mid.mp4", movie.MOST_FRAMES, 96)
    good = folder / "good.png"
    image(1).save(good)
    many = {"num_samples": sample.MOST_SAMPLES}
    for number in range(2, 2 + PEOPLE // 2):
        client = Visitor(address, number)
        client.http.post("/gradio_api/call/v2/sample", json=many).raise_for_status()
    start = time.perf_counter()
    Visitor(address).upscale(good, fastest())
    lost = time.perf_counter() - start
    visitor = Visitor(address, 1)
    call = {"movie": named(visitor.upload(film))}
    visitor.http.post("/gradio_api/call/v2/movie", json=call).raise_for_status()
    time.sleep(2)  # it has begun by then
    start = time.perf_counter()
    process.terminate()
    code = process.wait(PATIENCE)
    ended = time.perf_counter() - start
    return [
        (f"{PEOPLE // 2} long calls that nobody listens to", f"the next answer in {lost:.1f} s"),
        ("SIGTERM in mid-movie", f"the server ends in {ended:.1f} s, exit code {code}"),
    ]


def too_many(address: str) -> str:
    """What a client is told whose earlier calls are still open."""
    visitor = Visitor(address, 1)
    many = {"num_samples": sample.MOST_SAMPLES}  # these keep the queue busy until the last call
    for _ in range(call_queue.MOST_OPEN):
        visitor.http.post("/gradio_api/call/v2/sample", json=many).raise_for_status()
    return answered(visitor.http.post("/gradio_api/call/v2/sample", json=many))


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


def main(arguments: list[str]) -> None:
    made = parser("check-demo", __doc__)
    made.add_argument(
        "--requests", type=int, default=200, help="answers over which times and memory are watched"
    )
    requests = made.parse_args(arguments).requests
    if requests < 20:
        raise ValueError(f"--requests must be at least 20, not {requests}")
    print(report(requests))
