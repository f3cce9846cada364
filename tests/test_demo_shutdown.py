"""How a server of the demo ends, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import free_port
from gradio_client import Client, handle_file
from test_movies import make

from hvae_sr.demo import cache, shutdown

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")

# As `python app.py` does, with two models, whose work takes minutes and lets nobody in.
SERVING = """
import runpy, sys, time
from pathlib import Path
import hvae_sr.demo
from hvae_sr.upscaling.frames import Enlarger
from hvae_sr.upscaling import Upscaler

def work(*arguments, **options):
    Path(sys.argv[3]).touch()
    time.sleep(600)

Enlarger.upscaled = Upscaler.__call__ = work
names = ("photo-cnn-x2", "study-cnn-cifar10-x4")
hvae_sr.demo.bundled_models = lambda: {name: hvae_sr.load(name) for name in names}
runpy.run_path("app.py", run_name="__main__")
"""
LONG = 60  # seconds, far less than that; 0.5 s on a machine that does nothing else


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The demo, its temporary folder inside `folder`, and its address."""
    port = free_port()
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder)}
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", SERVING.replace("sys.argv[3]", repr(str(folder / "busy")))]
    command += ["--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=root) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            patience = time.monotonic() + 180
            while not answers(address):
                assert process.poll() is None and time.monotonic() < patience
                time.sleep(0.2)
            yield process, address
        finally:
            process.kill()


def answers(address: str) -> bool:
    try:
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False


def visitor(address: str, folder: Path) -> Client:
    return Client(address, verbose=False, analytics_enabled=False, download_files=folder)


def own_folders(folder: Path) -> list[Path]:
    return list(folder.glob("hvae-sr-*"))  # gradio makes another, when it is imported


@pytest.mark.parametrize(
    ("endpoint", "sent", "code"),
    [("/movie", signal.SIGTERM, 0), ("/upscale", signal.SIGINT, 130)],
)
def test_a_signal_ends_the_server_in_mid_job(
    endpoint: str, sent: signal.Signals, code: int, small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "server"
    files = {"/upscale": small, "/movie": make(tmp_path / "film.mp4", list(range(0, 400, 40)))}
    with server(folder) as (process, address):
        client = Client(address, verbose=False, analytics_enabled=False, download_files=tmp_path)
        job = client.submit(handle_file(files[endpoint]), api_name=endpoint)
        while not (folder / "busy").exists():
            assert not job.done()
            time.sleep(0.05)
        assert len(own_folders(folder)) == 1
        process.send_signal(sent)
        assert process.wait(LONG) == code
    assert own_folders(folder) == []


OWNING = """
import sys
from hvae_sr.demo.cache import own_folder
(own_folder() / "upload.png").touch()
print(own_folder(), flush=True)
sys.stdin.read()
"""


def test_what_a_killed_server_leaves_goes_at_the_next_start(tmp_path: Path) -> None:
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    command = [sys.executable, "-c", OWNING]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as killed:
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().decode().strip())
        killed.kill()
    assert (left / "upload.png").exists()
    time.sleep(1.5 * cache.YOUNG)
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as second:
        assert second.stdout is not None
        own = Path(second.stdout.readline().decode().strip())
        assert own_folders(tmp_path) == [own] != [left]
        second.communicate()
    assert own_folders(tmp_path) == []


def test_only_left_overs_are_left_overs(tmp_path: Path) -> None:
    own = cache.own_folder()
    names = ("hvae-sr-living", "hvae-sr-left", "hvae-sr-notes", "hvae-sr-new", "other")
    living, left, notes, new, other = (tmp_path / name for name in names)
    for each in (living, left, notes, new, other):
        each.mkdir()
        (each / "file").touch()
    for each in (living, left, new, other):
        (each / cache.LOCK).touch()
    long_ago = time.time() - 2 * cache.AGE
    for each in (living, left, notes, other):
        for file in (*each.iterdir(), each):
            os.utime(file, (long_ago, long_ago))
    (tmp_path / "hvae-sr-link").symlink_to(left)
    with cache.FileLock(living / cache.LOCK):
        os.utime(living / cache.LOCK, (long_ago, long_ago))
        cache.remove_leftovers(tmp_path)
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"hvae-sr-living", "hvae-sr-notes", "hvae-sr-new", "other", "hvae-sr-link"}
    cache.remove_leftovers(own.parent)
    assert own.is_dir()


def test_sweeping_keeps_the_lock(tmp_path: Path) -> None:
    (tmp_path / cache.LOCK).touch()
    (tmp_path / "old").touch()
    cache.sweep(tmp_path, -1)
    assert [path.name for path in tmp_path.iterdir()] == [cache.LOCK]


def test_many_files_do_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be deleted in time keeps its lock file, by which the next start finds it."""

    class EndedError(Exception):
        pass

    def leave(code: int) -> None:
        raise EndedError

    def slow(path: Path, **_: bool) -> None:
        time.sleep(60)

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / cache.LOCK).touch()
    monkeypatch.setattr(shutdown, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(shutdown, "GRACE", 0.2)
    monkeypatch.setattr(shutdown, "_endings", list)
    monkeypatch.setattr(shutdown.shutil, "rmtree", slow)
    monkeypatch.setattr(shutdown.os, "_exit", leave)
    start = time.monotonic()
    with pytest.raises(EndedError):
        shutdown.end(0)
    assert time.monotonic() - start < 30
    assert (tmp_path / cache.LOCK).exists()
