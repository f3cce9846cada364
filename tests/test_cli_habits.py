"""The command as people call it: several files, streams, signals, versions, quiet and loud."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import shaken, tiny_hvae
from PIL import Image

from hvae_sr import cli
from hvae_sr.cli import models
from hvae_sr.errors import ModelError
from hvae_sr.version import __version__


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shelf") / "tiny"
    shaken(tiny_hvae(scale=2)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (4, 3), "red").save(tmp_path / name)
    return [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]


def command(*arguments: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "hvae_sr", *arguments],
        capture_output=True,
        check=False,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )


def test_version_and_module() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout.decode().strip()) == (0, f"hvae-sr {__version__}")


def test_completion_knows_the_commands() -> None:
    variables = {
        **os.environ,
        "_HVAE_SR_COMPLETE": "complete_bash",
        "COMP_WORDS": "hvae-sr up",
        "COMP_CWORD": "1",
    }
    assert b"upscale" in command(env=variables).stdout


def test_several_files_lie_beside_their_inputs(model: str, two: list[str], tmp_path: Path) -> None:
    assert cli.run(["upscale", *two, "--model", model]) == 0
    assert {path.name for path in tmp_path.glob("*-x2.png")} == {"a-x2.png", "b-x2.png", "c-x2.png"}


def test_several_files_go_into_a_folder_and_one_that_fails_stops_no_other(
    model: str, two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(two[0]).write_bytes(b"no image")
    (tmp_path / "out").mkdir()
    assert cli.run(["upscale", *two, str(tmp_path / "out"), "--model", model]) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"b-x2.png", "c-x2.png"}
    assert "a.png is not an image" in capsys.readouterr().err


def test_a_folder_that_does_not_exist_is_said_before_the_model_is_loaded(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in ("nowhere", "nowhere/out.png"):
        arguments = [*two[:1], str(tmp_path / target)] if "/" in target else [*two, target]
        assert cli.run(["upscale", *arguments, "--model", "no/such-model"]) == 2
        assert "nowhere" in capsys.readouterr().err


def test_streams(model: str, two: list[str]) -> None:
    done = command("upscale", "-", "--model", model, input=Path(two[0]).read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert Image.open(io.BytesIO(done.stdout)).size == (8, 6)
    done = command("upscale", two[0], "-", "--model", model)
    assert Image.open(io.BytesIO(done.stdout)).format == "PNG"


@pytest.mark.parametrize("before", [True, False])
def test_quiet_and_verbose(
    before: bool, model: str, two: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def call(flag: str) -> tuple[str, str]:
        line = ["upscale", two[0], "--model", model, "--overwrite"]
        assert cli.run([flag, *line] if before else [*line, flag]) == 0
        return capsys.readouterr()

    assert call("-q") == ("", "")
    said, told = call("-v")
    assert said.endswith("a-x2.png\n") and "seconds" in told and "tiny on cpu" in told
    assert cli.run(["-v", "upscale", two[0], "-q"]) == 0  # the nearer one wins
    assert cli.run(["-v", "-q", "upscale", two[0]]) == 2


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"photo-cnn-x4", "photo-hvae-x4"} <= {each["name"] for each in listed}
    assert all(each["sha256"] and each["scale"] for each in listed)


def test_one_answer_names_the_models_that_have_several(
    two: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["upscale", two[0], "--samples", "2"]) == 2
    said = capsys.readouterr().err
    assert "--samples" in said and "--model" in said and "photo-hvae-x4" in said


def test_a_revision_stands_in_the_name_or_in_its_option() -> None:
    assert models.named("you/mine@v1", None) == ("you/mine", "v1")
    assert models.named("you/mine", "v2") == ("you/mine", "v2")
    with pytest.raises(ModelError, match="name one revision"):
        models.named("you/mine@v1", "v2")


def test_a_size_smaller_than_the_image_keeps_it_and_says_so(
    model: str, two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["upscale", two[0], "--model", model, "--size", "2x2"]) == 0
    assert "keeps its size" in capsys.readouterr().err
    assert Image.open(tmp_path / "a-2x2.png").size == (4, 3)


def test_overwrite_never_takes_the_input(
    model: str, two: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(two[0]).read_bytes()
    assert cli.run(["upscale", two[0], two[0], "--model", model, "--overwrite"]) == 2
    assert "is the input" in capsys.readouterr().err
    assert Path(two[0]).read_bytes() == before


def test_a_name_that_the_terminal_cannot_show_is_no_error(model: str, tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "Grüße.png")
    variables = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = command("upscale", str(tmp_path / "Grüße.png"), "--model", model, env=variables)
    assert done.returncode == 0 and rb"Gr\xfc\xdfe-x2.png" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_it_leave_nothing(number: signal.Signals, tmp_path: Path) -> None:
    Image.effect_noise((1500, 1500), 50).save(tmp_path / "in.png")
    ready = tmp_path.parent / f"{tmp_path.name}-ready"
    script = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # which nohup had ignored
        "import hvae_sr.imaging.files as files, hvae_sr.cli as cli\n"
        "from hvae_sr.upscaling import Upscaler\n"
        "from hvae_sr.atomic import atomic_write\n"
        "def wait(self, image):\n"
        f"    with atomic_write(pathlib.Path({str(tmp_path / 'half.png')!r})) as scratch:\n"
        "        scratch.write_text('half')\n"
        f"        pathlib.Path({str(ready)!r}).touch()\n"
        "        time.sleep(60)\n"
        "Upscaler.images = wait\n"
        "cli.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "upscale", str(tmp_path / "in.png")],
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (128 + number, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
