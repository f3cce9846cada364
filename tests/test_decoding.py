"""Decoding in processes of its own: what strangers' files may cost, deadlines, Ctrl-C."""

import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hostile
import numpy as np
import psutil
import pytest
from PIL import Image, features

from hvae_sr.errors import ImageError
from hvae_sr.imaging import decoders, worker
from hvae_sr.imaging.budget import STRANGERS
from hvae_sr.imaging.decoding import Request, decode
from hvae_sr.imaging.files import open_image
from hvae_sr.imaging.structure import check_structure

# Everything is allowed, but little time.
HASTY = replace(STRANGERS, seconds=0.5, scans=2**30, parts=2**30, comments=2**30, spare=2**30)
MANY = 2 * STRANGERS.parts

HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "scans.jpg": (lambda p: hostile.repeated_scans(p, 101, 64), "in more than 100 scans"),
    "segments.jpg": (lambda p: hostile.segments(p, MANY), "more than 16384 parts"),
    "plain.ppm": (lambda p: hostile.plain_ppm(p, 100), "as text"),
    "commented.ppm": (lambda p: hostile.commented_ppm(p, 5000), "a header of more than 4096"),
    "commented.gif": (lambda p: hostile.commented_gif(p, 2**19), "262144 bytes of comments"),
    "padded.gif": (lambda p: hostile.padded_gif(p, MANY), "more than 16384 parts"),
    "before.png": (lambda p: hostile.chunked_png(p, MANY), "more than 16384 parts"),
    "after.png": (lambda p: hostile.chunked_png(p, MANY, before=False), "16384 parts"),
    "runs.bmp": (lambda p: hostile.empty_runs(p, 2**17), "bytes for 4x4 pixels"),
    "texts.png": (lambda p: hostile.packed_texts(p, 5), "bytes of text"),
    "strips.tif": (lambda p: hostile.strips(p, MANY), "more than 16384 parts"),
    "profiles.png": (lambda p: hostile.profiles(p, 33), "more than 32 packed texts"),
    "segments-of-exif.jpg": (lambda p: hostile.exif_segments(p, 3000), "bytes of EXIF"),
    "numbers.png": (lambda p: hostile.numbered(p, 2000), "more than 1024 numbers"),
    "numbers.jpg": (lambda p: hostile.numbered(p, 2000), "more than 1024 numbers"),
    "numbers.webp": (lambda p: hostile.numbered(p, 2000), "more than 1024 numbers"),
    "long.png": (lambda p: hostile.numbered(p, 2000, pointer=4), "more than 1024 numbers"),
    "short.png": (lambda p: hostile.numbered(p, 2000, pointer=3), "more than 1024 numbers"),
    "overlapping.jpg": (lambda p: hostile.overlapping(p, 100), "some of them twice"),
    "overlapping.tif": (lambda p: hostile.overlapping_tiff(p, 100), "some of them twice"),
    "profile.webp": (lambda p: hostile.with_profile(p, 2**23), "bytes for 16x16 pixels"),
    "profile.jpg": (lambda p: hostile.with_profile(p, 2**21), "2097152 bytes of profile"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_out_of_proportion_to_the_pixels_is_refused(name: str, tmp_path: Path) -> None:
    make, sentence = HOSTILE[name]
    path = make(tmp_path / name)
    assert open_image(path).size  # an image, which its owner may have
    with pytest.raises(ImageError, match=sentence) as caught:
        open_image(path, budget=STRANGERS)
    assert str(caught.value).startswith(name) and "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [b"II*\x00", b"II\x00*"])
def test_tiffs_are_known_by_every_head_that_pillow_takes(head: bytes, tmp_path: Path) -> None:
    path = hostile.strips(tmp_path / "in.tif", MANY)
    path.write_bytes(head + path.read_bytes()[4:])
    with pytest.raises(ImageError, match="more than 16384 parts"):
        check_structure(path, STRANGERS)


def test_the_exif_of_cameras_is_taken(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x010F] = 1, 72.0, "maker"
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0x9214: (1, 2, 3, 4), 0x927C: bytes(40_000)})
    for name in ("in.jpg", "in.png", "in.tif", "in.webp"):
        Image.new("RGB", (16, 16)).save(tmp_path / name, exif=exif)
        read = open_image(tmp_path / name, budget=STRANGERS).getexif()
        assert read[0x010F] == "maker"
        written = Image.open(tmp_path / name).getexif()  # without the inner folder in a TIFF
        assert dict(read.get_ifd(0x8769)) == dict(written.get_ifd(0x8769))


def test_slow_decoders_get_fewer_pixels(tmp_path: Path) -> None:
    path = hostile.slow_ppm(tmp_path / "in.ppm", 300)
    assert open_image(path, budget=STRANGERS).size == (300, 300)
    with pytest.raises(ImageError, match=r"in\.ppm is stored in a way that is slow to decode"):
        open_image(path, budget=replace(STRANGERS, slow=300 * 299))


def test_a_folder_of_endless_tags_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = hostile.tags(tmp_path / "tags.tif", MANY)
    with pytest.raises(ImageError, match="16384 parts"):
        open_image(path, budget=STRANGERS)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif", "ppm", "avif"])
@pytest.mark.parametrize("side", [1, 16, 300])
def test_ordinary_pictures_are_within_the_budget(suffix: str, side: int, tmp_path: Path) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(noise).save(path)
    found = open_image(path, budget=STRANGERS)
    with Image.open(path) as expected:
        assert (found.mode, found.size, found.format) == (
            expected.mode,
            (side, side),
            expected.format,
        )
        assert found.tobytes() == expected.tobytes()
        assert found.getpalette() == expected.getpalette()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations_are_within_the_budget(suffix: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (256, 256), dtype=np.uint8) for _ in range(80)]
    first, *more = [Image.fromarray(values) for values in noise]
    path = tmp_path / f"in.{suffix}"
    quick = {"lossless": True, "quality": 0, "method": 0} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=more, **quick)
    assert path.stat().st_size > STRANGERS.spare  # more than one frame may have
    assert open_image(path, budget=STRANGERS).size == (256, 256)


@pytest.mark.parametrize(
    "header",
    [
        b"P4\n16 1\n",
        b"P5 2 1 255\n",
        b"P6\n# Created by GIMP\n# and others\n1 1\n255\n",
        b"Pf\n1 1\n-1.0\n",
    ],
)
def test_binary_ppm_is_within_the_budget(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.ppm").write_bytes(header + bytes(16))
    assert open_image(tmp_path / "in.ppm", budget=STRANGERS).height == 1


def test_inks_profiles_are_not_counted_because_they_are_not_copied(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16)).save(tmp_path / "in.jpg", icc_profile=bytes(2**21))
    assert open_image(tmp_path / "in.jpg", budget=STRANGERS).mode == "CMYK"


def slow(path: Path) -> Path:
    """A small file that takes minutes to decode."""
    return hostile.repeated_scans(path, 40_000, 2048)


def test_a_deadline_ends_the_decoder_and_the_next_file_is_read(small: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(ImageError, match=r"slow\.jpg takes more than 0\.5 seconds to decode"):
        open_image(slow(tmp_path / "slow.jpg"), budget=HASTY)
    assert time.monotonic() - begin < 20
    assert open_image(small).size == (24, 20)


def test_a_clock_ends_a_decoder_that_does_not_work(small: Path, tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names")
    os.mkfifo(tmp_path / "pipe.png")  # opening it waits for a writer
    with pytest.raises(ImageError, match=r"pipe\.png takes more than 0\.1 seconds"):
        open_image(tmp_path / "pipe.png", budget=replace(STRANGERS, seconds=0.1))
    assert open_image(small).size == (24, 20)


def test_others_are_answered_meanwhile(small: Path, tmp_path: Path) -> None:
    if decoders.MOST < 2:
        pytest.skip("one core decodes one image at a time")
    path = slow(tmp_path / "slow.jpg")
    refused: list[float] = []

    def ask() -> None:
        with pytest.raises(ImageError):
            open_image(path, budget=replace(HASTY, seconds=2))
        refused.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    open_image(small)
    answered = time.monotonic()
    thread.join()
    assert answered < refused[0]


def test_a_decoder_that_breaks_down_is_one_sentence(small: Path, tmp_path: Path) -> None:
    pool = decoders.Pool(1)
    request = Request(str(slow(tmp_path / "slow.jpg")))
    ending = threading.Timer(1, pool.close)
    ending.start()
    with pytest.raises(ImageError, match=r"slow\.jpg is damaged, its decoder broke down"):
        pool.decode(request)
    assert pool.decode(Request(str(small))).size == (24, 20)
    pool.close()  # an idle one
    assert pool.decode(Request(str(small))).size == (24, 20)
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound a process")
def test_memory_is_bounded(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 4000)).save(tmp_path / "in.png")
    with pytest.raises(ImageError, match=r"in\.png"):
        open_image(tmp_path / "in.png", budget=replace(STRANGERS, memory=2**25))
    assert open_image(tmp_path / "in.png", budget=STRANGERS).size == (4000, 4000)


@pytest.mark.parametrize(
    "error",
    [
        struct.error("unpack requires a buffer of 2 bytes"),
        RuntimeError("Failed to decode image"),
        KeyError("tag"),
        AssertionError(),
        OverflowError(),
        ZeroDivisionError(),
        RecursionError(),
    ],
)
def test_whatever_a_decoder_raises_is_one_sentence(
    error: Exception, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match=r"small\.png is damaged or cut short"):
        decode(Request(str(small)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif", "ppm", "avif"])
def test_damage_anywhere_is_one_sentence_or_a_picture(suffix: str, tmp_path: Path) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(
        tmp_path / f"a.{suffix}"
    )
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    for _ in range(150):
        content = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for place in random.integers(0, len(content), 4):
            content[min(place, random.integers(0, 200))] = random.integers(0, 256)
        path.write_bytes(content)
        try:
            open_image(path, budget=STRANGERS)
        except ImageError as error:
            assert path.name in str(error) and "\n" not in str(error)


def test_a_decoder_needs_no_torch() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, hvae_sr.imaging.worker; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"torch", "numpy", "gradio", "av"} & set(said.stdout.split())


def test_what_a_decoder_says_runs_no_code(tmp_path: Path) -> None:
    with (tmp_path / "answer").open("wb") as stream:
        worker.send(stream, os.getcwd)
    with (tmp_path / "answer").open("rb") as stream, pytest.raises(pickle.UnpicklingError):
        worker.receive(stream)


ASKING = """
import sys
from hvae_sr.imaging import decoders
from hvae_sr.imaging.decoding import Request
decoders.decode(Request(sys.argv[1]))
"""


def working(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The decoder of a process, once it has worked for a while."""
    patience = time.monotonic() + 120
    while time.monotonic() < patience and process.poll() is None:
        for child in psutil.Process(process.pid).children():
            if "hvae_sr.imaging.worker" in child.cmdline() and child.cpu_times().user > 1:
                return child
        time.sleep(0.05)
    raise AssertionError("no decoder is at work")


def gone(process: psutil.Process) -> bool:
    try:
        process.wait(20)
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_ctrl_c_works_in_the_decoder(tmp_path: Path) -> None:
    path = slow(tmp_path / "slow.jpg")
    command = [sys.executable, "-m", "hvae_sr.cli", "upscale", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        decoder = working(process)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - begin < 30
    assert process.returncode == 130 and b"Traceback" not in said
    assert gone(decoder)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_decoder_ends_with_the_process_that_asks(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASKING, str(slow(tmp_path / "slow.jpg"))]
    with subprocess.Popen(command) as process:
        decoder = working(process)
        process.kill()
    assert gone(decoder)


FORKED = """
import os, sys
from hvae_sr.imaging import decoders
from hvae_sr.imaging.decoding import Request
def images():
    return {decoders.decode(Request(sys.argv[1])).size for _ in range(50)}
first = images()
child = os.fork()
found = images()
if child == 0:
    os._exit(found != first)
_, status = os.waitpid(child, 0)
print(found == first, status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_processes_do_not_share_decoders(small: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", FORKED, str(small)], capture_output=True, text=True, timeout=120
    )
    assert said.stdout == "True 0\n", said.stderr
