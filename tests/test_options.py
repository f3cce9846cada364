"""One options object for images, folders, movies, restoring: the same defaults, draws, records."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import av
import gradio as gr
import numpy as np
import pytest
import torch
import typer
from conftest import Nearest, shaken, smooth_images, tiny_hvae
from PIL import Image
from test_movies import make

from hvae_sr import cli
from hvae_sr.demo.upscale import UpscaleTab
from hvae_sr.imaging.files import file_record
from hvae_sr.imaging.metadata import parse_record
from hvae_sr.imaging.pixels import to_image
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.rescale import restore_file, shrink_file
from hvae_sr.upscaling import UpscaleOptions, Upscaler
from hvae_sr.upscaling.folders import upscale_folder
from hvae_sr.upscaling.images import upscale_file
from hvae_sr.upscaling.options import LARGEST_SEED, SEVERAL
from hvae_sr.upscaling.records import describe
from hvae_sr.upscaling.video import upscale_movie

DRAWN = UpscaleOptions(temperature=1.0, decode="sample", consistent=True, tile=64, dtype="bfloat16")


@pytest.fixture(scope="module")
def model() -> SuperResolutionModel:
    return shaken(tiny_hvae(scale=2))


@pytest.fixture
def folder(tmp_path: Path, model: SuperResolutionModel) -> Path:
    """A folder with an image, a small image, and a movie of three frames."""
    (tmp_path / "in").mkdir()
    to_image(smooth_images(1, 3, 9, 12)[0]).save(tmp_path / "in" / "a.png")
    shrink_file(tmp_path / "in" / "a.png", tmp_path / "small.png", model)
    make(tmp_path / "a.mp4", [0, 40, 80])
    return tmp_path


def movie_record(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as movie:
        tags = {name.lower(): text for name, text in movie.metadata.items()}
    record = parse_record(tags["comment"])
    assert record is not None
    return record


def image_record(path: Path) -> dict[str, Any]:
    record = file_record(path)
    assert record is not None
    return record


def through_file(folder: Path, target: str, *call: Any) -> dict[str, Any]:
    upscale_file(folder / "in" / "a.png", [folder / f"{target}.png"], *call)
    return image_record(folder / f"{target}.png")


def through_folder(folder: Path, target: str, *call: Any) -> dict[str, Any]:
    upscale_folder(folder / "in", folder / target, *call)
    return image_record(folder / target / "a.png")


def through_movie(folder: Path, target: str, *call: Any) -> dict[str, Any]:
    upscale_movie(folder / "a.mp4", folder / f"{target}.mkv", *call)
    return movie_record(folder / f"{target}.mkv")


def through_restore(folder: Path, target: str, *call: Any) -> dict[str, Any]:
    restore_file(folder / "small.png", folder / f"{target}.png", *call)
    return image_record(folder / f"{target}.png")


WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    "file": through_file,
    "folder": through_folder,
    "movie": through_movie,
    "restore": through_restore,
}


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[UpscaleOptions, torch.Tensor]]:
    """What every `Upscaler` is asked with, and what it gives, as tensors."""
    made: list[tuple[UpscaleOptions, torch.Tensor]] = []
    images = Upscaler.images

    def watched(self: Upscaler, image: Any) -> Any:
        found = images(self, image)
        plain = found if isinstance(found, torch.Tensor) else torch.tensor(np.asarray(found[0]))
        made.append((self.options, plain.clone()))
        return found

    monkeypatch.setattr(Upscaler, "images", watched)
    return made


@pytest.mark.parametrize("way", WAYS)
class TestEveryWay:
    def test_takes_the_options_and_records_them(self, way, folder, model, outputs):
        record = WAYS[way](folder, "out", model, replace(DRAWN, seed=5))
        wanted = describe(model, replace(DRAWN, seed=5))
        assert {key: record[key] for key in wanted} == wanted
        assert wanted["decode"] == "sample" and wanted["seed"] == 5
        for options, _ in outputs:  # restoring projects borders of its own
            assert replace(options, consistent=True) == replace(DRAWN, seed=5)

    def test_a_seed_that_is_drawn_is_recorded_and_repeats_the_output(
        self, way, folder, model, outputs
    ):
        WAYS[way](folder, "other", model, DRAWN)
        record = WAYS[way](folder, "one", model, DRAWN)
        WAYS[way](folder, "again", model, replace(DRAWN, seed=record["seed"]))
        other, one, again = (
            torch.stack([output for _, output in part])
            for part in np.array_split(np.array(outputs, dtype=object), 3)
        )
        assert torch.equal(one, again)
        assert not torch.equal(one, other), "two runs drew the same seed"

    def test_without_options_it_has_the_defaults(self, way, folder, model, outputs):
        record = WAYS[way](folder, "out", model)
        assert {replace(options, seed=None) for options, _ in outputs} == {UpscaleOptions()}
        assert (record["temperature"], record["seed"], record["decode"]) == (0.0, None, None)

    def test_decoding_is_drawn_above_temperature_0(self, way, folder, model, outputs):
        warm = UpscaleOptions(temperature=1.0, seed=1)
        WAYS[way](folder, "mean", model, warm)
        WAYS[way](folder, "sample", model, replace(warm, decode="sample"))
        half = len(outputs) // 2
        mean, drawn = (outputs[index][1].float() for index in (0, half))
        assert not torch.allclose(mean, drawn, atol=0.02)
        if mean.max() <= 1:  # tensors, which Pillow has not rounded
            assert torch.allclose(drawn * 255, (drawn * 255).round(), atol=1e-3)

    def test_a_model_with_one_output_has_nothing_to_decode(self, way, folder, model):
        twin = Nearest(2, "gaussian")
        with pytest.raises(ValueError, match="decode"):
            WAYS[way](folder, "out", twin, UpscaleOptions(decode="sample"))
        assert not list(folder.glob("out*/*")) and not list(folder.glob("out.*"))


class TestRecords:
    def statuses(self, folder: Path, model: SuperResolutionModel, options: UpscaleOptions) -> Any:
        report = upscale_folder(folder / "in", folder / "out", model, options)
        return [outcome.status for outcome in report.outcomes]

    def test_another_decoding_is_another_output(self, folder, model):
        warm = UpscaleOptions(temperature=1.0)
        assert self.statuses(folder, model, warm) == ["written"]
        assert self.statuses(folder, model, replace(warm, decode="sample")) == ["kept"]
        assert self.statuses(folder, model, warm) == ["done"]

    def test_at_temperature_0_all_decodings_and_seeds_are_one(self, folder, model):
        assert self.statuses(folder, model, UpscaleOptions()) == ["written"]
        assert self.statuses(folder, model, UpscaleOptions(decode="sample", seed=3)) == ["done"]

    def test_a_torch_dtype_is_recorded_by_its_name(self, model):
        named, given = UpscaleOptions(dtype="bfloat16"), UpscaleOptions(dtype=torch.bfloat16)
        assert describe(model, named) == describe(model, given)
        half = shaken(tiny_hvae(scale=2)).half()
        assert describe(half, UpscaleOptions())["dtype"] == "float16"


class TestDefaults:
    """They stand in `UpscaleOptions` alone; everything else leaves out what is not given."""

    def parameters(self, command: str) -> dict[str, Any]:
        known = {field.name for field in fields(UpscaleOptions)}
        found = typer.main.get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
        named = {str(each.name).replace("samples", "num_samples"): each for each in found}
        return {name: each for name, each in named.items() if name in known}

    def test_the_commands_have_every_option(self):
        known = {field.name for field in fields(UpscaleOptions)}
        assert self.parameters("upscale").keys() == known
        assert self.parameters("restore").keys() == known - {"num_samples", "size", "quality"}

    @pytest.mark.parametrize("command", ["upscale", "restore"])
    def test_the_commands_have_no_defaults_of_their_own(self, command):
        for name, parameter in self.parameters(command).items():
            assert parameter.default is None, name

    @pytest.mark.parametrize("command", ["upscale", "restore"])
    def test_the_help_tells_the_defaults_there_are(self, command):
        options = UpscaleOptions()
        told = {name: each.show_default for name, each in self.parameters(command).items()}
        assert told["decode"] == options.decode
        assert told["dtype"] == options.dtype
        assert str(told["tile"]).startswith(f"{options.tile}, ")
        assert told["consistent"] == ("consistent" if options.consistent else "no-consistent")
        assert told["temperature"] == f"{options.used_temperature:g}, or {SEVERAL} for several"
        assert told.get("num_samples", "1") == str(options.num_samples)

    @pytest.mark.parametrize(
        "arguments", ["upscale in/a.png", "upscale in", "upscale a.mp4", "restore small.png"]
    )
    def test_a_command_without_options_has_the_defaults(
        self, arguments, folder, model, outputs, monkeypatch, capsys
    ):
        monkeypatch.chdir(folder)
        model.save_pretrained(folder / "model")
        assert cli.run([*arguments.split(), "--model", str(folder / "model")]) == 0
        assert {replace(options, seed=None) for options, _ in outputs} == {UpscaleOptions()}

    def test_the_demo_starts_with_the_defaults(self, model):
        with gr.Blocks():
            tab = UpscaleTab({"tiny": model})
            tab.build()
        options = UpscaleOptions()
        assert tab.choices.temperature.value == options.used_temperature
        assert tab.choices.num_samples.value == options.num_samples
        assert tab.choices.consistent.value == options.consistent


class TestSize:
    """`size` for everyone who calls an `Upscaler`."""

    def test_tensors_are_fitted_too(self, model):
        lr = smooth_images(2, 3, 4, 6)
        found = Upscaler(model, UpscaleOptions(num_samples=3, seed=1, size=(20, 99)))(lr)
        assert found.images.shape == (2, 3, 3, 13, 20) and found.mean.shape == (2, 3, 13, 20)
        assert torch.allclose(found.mean, found.images.mean(dim=1))
        assert found.images.min() >= 0 and found.images.max() <= 1

    def test_one_pass_that_hits_the_size_is_the_models_own(self, model):
        lr = smooth_images(1, 3, 4, 6)
        assert torch.equal(model.upscale(lr, size=(12, 8)), model.upscale(lr))

    def test_further_passes_keep_the_temperature(self, model):
        lr = smooth_images(1, 3, 4, 6)
        drawn = UpscaleOptions(num_samples=2, seed=1, size=(24, 16))
        several = Upscaler(model, drawn).images(lr)
        warm = UpscaleOptions(temperature=SEVERAL, seed=1)
        first = Upscaler(model, drawn).images(lr, size=(12, 8))
        second = Upscaler(model, warm).images(first[:, 1])[:, 0]
        assert torch.equal(several[:, 1], second)

    def test_what_is_not_defined_of_fitted_outputs_is_left_out(self, model):
        image = to_image(smooth_images(1, 3, 4, 6)[0])
        found = Upscaler(model)(image, num_samples=2, seed=0, size=(20, 20))
        assert [each.size for each in (found.mean, *found.images)] == [(20, 13)] * 3
        assert found.std is None and found.lr_psnr is None
        levels = np.stack([np.asarray(each, dtype=float) for each in found.images])
        assert np.abs(levels.mean(axis=0) - np.asarray(found.mean)).max() <= 0.51

    def test_transparency_and_depth_survive(self, model):
        grey = Image.fromarray(np.full((4, 6), 30_000, dtype=np.uint16))
        assert Upscaler(model)(grey, size=(9, 9)).mean.mode == "I;16"
        clear = Image.new("RGBA", (6, 4), (9, 99, 200, 0))
        assert Upscaler(model)(clear, size=(9, 9)).mean.getchannel("A").getextrema() == (0, 0)


class TestValues:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("num_samples", 0),
            ("temperature", -0.1),
            ("temperature", float("nan")),
            ("temperature", float("inf")),
            ("seed", -1),
            ("seed", LARGEST_SEED + 1),
            ("decode", "mode"),
            ("tile", 0),
            ("dtype", "int8"),
            ("size", (0, 9)),
            ("quality", 0),
            ("quality", 101),
        ],
    )
    def test_out_of_range_is_one_sentence(self, name, value):
        with pytest.raises(ValueError, match=f"^{name} must") as caught:
            UpscaleOptions(**{name: value})
        assert "\n" not in str(caught.value)

    def test_the_largest_seed_can_be_used(self, model):
        model.upscale(torch.zeros(1, 3, 4, 4), temperature=1.0, seed=LARGEST_SEED)

    def test_a_change_to_none_changes_nothing(self):
        options = UpscaleOptions(num_samples=2, seed=3, size=(4, 5))
        assert options.changed({"num_samples": None, "seed": None, "size": None}) == options
        assert options.changed({"seed": 4}) == replace(options, seed=4)

    def test_two_processes_draw_different_seeds(self):
        code = (
            "from hvae_sr.upscaling import UpscaleOptions as O;"
            "print(O(temperature=1.0).with_seed().seed)"
        )
        command = [sys.executable, "-c", code]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in "ab"]
        assert runs[0].stdout != runs[1].stdout

    def test_torch_can_set_the_seed_that_is_drawn(self):
        drawn = []
        for seed in (1, 1, 2):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                drawn.append(UpscaleOptions(temperature=1.0).with_seed().seed)
        assert drawn[0] == drawn[1] != drawn[2]

    def test_several_restored_images_are_refused(self, folder, model):
        for wrong in (UpscaleOptions(num_samples=2), UpscaleOptions(size=(9, 9))):
            with pytest.raises(ValueError, match="restored once"):
                restore_file(folder / "small.png", folder / "out.png", model, wrong)
