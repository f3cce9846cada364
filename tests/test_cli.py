"""The `hvae-sr` command on real files: results, and one sentence with exit code 2 on failure."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_sr import cli


def run(*arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "hvae_sr.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def invoke(monkeypatch, capsys, *arguments: object) -> tuple[int, str]:
    """The same in this process, which is quicker: exit code and stderr."""
    monkeypatch.setattr(sys, "argv", ["hvae-sr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0, capsys.readouterr().err


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_upscale_writes_a_picture_four_times_as_large(picture, tmp_path):
    code, _, error = run("upscale", picture, tmp_path / "out.png")
    assert (code, error) == (0, "")
    assert Image.open(tmp_path / "out.png").size == (48, 36)


def test_the_same_seed_gives_the_same_file(picture, tmp_path, monkeypatch, capsys):
    options = ["--model", "hvae-cifar10-x4", "--temperature", 0.8]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        target = tmp_path / f"{name}.png"
        assert invoke(monkeypatch, capsys, "upscale", picture, target, *options, "--seed", seed)[
            0
        ] == (0)
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_sample_draws_a_grid(tmp_path, monkeypatch, capsys):
    target = tmp_path / "grid.png"
    code, _ = invoke(monkeypatch, capsys, "sample", "hvae-cifar10-x4", target, "--count", 4)
    assert code == 0
    assert min(Image.open(target).size) >= 64


def test_an_existing_output_is_kept(picture, tmp_path, monkeypatch, capsys):
    target = tmp_path / "out.png"
    target.write_bytes(b"mine")
    code, error = invoke(monkeypatch, capsys, "upscale", picture, target)
    assert code == 2 and "--overwrite" in error
    assert target.read_bytes() == b"mine"


def bad_inputs() -> dict[str, bytes]:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    return {
        "empty.png": b"",
        "text.png": b"no picture at all",
        "short.png": whole.getvalue()[: len(whole.getvalue()) // 2],
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


@pytest.mark.parametrize("name", bad_inputs())
def test_bad_pictures_are_one_sentence(name, tmp_path, monkeypatch, capsys):
    source = tmp_path / name
    source.write_bytes(bad_inputs()[name])
    code, error = invoke(monkeypatch, capsys, "upscale", source, tmp_path / "out.png")
    assert code == 2
    assert error.startswith("hvae-sr: ") and name in error and error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upscale", "missing.png", "out.png"], "missing.png"),
        (["evaluate", "no-such-model", "--data", "cifar10"], "no-such-model"),
        (["evaluate", "srcnn-cifar10-x4", "--data", "no-such-data"], "no-such-data"),
        (["sample", "srcnn-cifar10-x4", "out.png"], "deterministic"),
        (["card", "no-such-folder"], "config.json"),
    ],
)
def test_what_is_wrong_is_named(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, error = invoke(monkeypatch, capsys, *arguments)
    assert code == 2
    assert said in error and "Traceback" not in error


def test_a_wide_picture_is_refused_with_the_size_that_fits(tmp_path, monkeypatch, capsys):
    source = tmp_path / "wide.png"
    Image.new("RGB", (30_000, 100)).save(source)
    code, error = invoke(monkeypatch, capsys, "upscale", source, tmp_path / "out.png")
    assert code == 2 and "30000x100" in error and "at most" in error


def test_evaluate_prints_and_saves(tmp_path, monkeypatch, capsys):
    data = tmp_path / "pictures.npy"
    np.save(data, np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8))
    arguments = ["evaluate", "hvae-cifar10-x4", "--data", data, "--out", tmp_path / "scores"]
    monkeypatch.setattr(sys, "argv", ["hvae-sr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    printed = capsys.readouterr().out
    assert "mean of 16" in printed
    assert (tmp_path / "scores.md").read_text().strip() == printed.strip()
    assert (tmp_path / "scores.json").is_file()
