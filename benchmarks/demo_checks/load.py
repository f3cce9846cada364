"""Many visitors at once, many sessions, and one visitor beside an attacker."""

import io
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from benchmarks.demo_checks.visitors import Visitor, fastest, fingerprint, image, said
from hvae_sr.demo.guard import LARGEST_FILE
from hvae_sr.hub import load

PEOPLE = 16  # each with an address of its own, from 127.0.0.2 on
WARM_UP = 32  # answers before memory is first looked at
SESSIONS = 1000  # that are opened for a small event of the page each
BESIDE = 12  # answers that are timed while an upload is refused


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
