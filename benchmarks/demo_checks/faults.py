"""What clients and machines do to a server by accident."""

import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.demo_checks.hostile import clip
from benchmarks.demo_checks.load import PEOPLE
from benchmarks.demo_checks.visitors import PATIENCE, Visitor, fastest, image, named
from hvae_sr.demo import movie, sample


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
