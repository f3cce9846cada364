"""Files and folders through a model: the same tree again, nothing twice, nothing lost."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Nearest, shaken, tiny_hvae
from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.hub import load
from hvae_sr.imaging.files import file_record, open_image
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.upscaling import UpscaleOptions, Upscaler, folders
from hvae_sr.upscaling.folders import Outcome, plan, upscale_folder
from hvae_sr.upscaling.images import upscale_file
from hvae_sr.upscaling.options import SEVERAL


def noise(width: int = 6, height: int = 4, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def statuses(report: folders.Report) -> list[str]:
    return [outcome.status for outcome in report.outcomes]


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> SuperResolutionModel:
    Nearest(2).save_pretrained(tmp_path_factory.mktemp("models") / "nearest")
    return load(tmp_path_factory.getbasetemp() / "models0" / "nearest")


@pytest.fixture(scope="module")
def hvae(tmp_path_factory: pytest.TempPathFactory) -> SuperResolutionModel:
    folder = tmp_path_factory.mktemp("shelf") / "tiny-hvae"
    shaken(tiny_hvae(scale=2)).save_pretrained(folder)
    return load(folder)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three images, one of them deep down, a text, and an image cut short."""
    folder = tmp_path / "album"
    (folder / "deep" / "down").mkdir(parents=True)
    noise(seed=1).save(folder / "a.png")
    noise(seed=2).save(folder / "b.webp", lossless=True)
    noise(seed=3).save(folder / "deep" / "down" / "c.bmp")
    (folder / "deep" / "notes.txt").write_text("no image")
    (folder / "short.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / ".hidden.png").write_bytes(b"")
    return folder


class TestFolder:
    def test_the_tree_is_mirrored_and_what_fails_is_reported(self, album, tmp_path, nearest):
        seen: list[tuple[Outcome, int]] = []
        report = upscale_folder(
            album, tmp_path / "out", nearest, progress=lambda *call: seen.append(call)
        )
        assert tree(tmp_path / "out") == ["a.png", "b.webp", "deep/down/c.png"]
        for name in tree(tmp_path / "out"):
            assert open_image(tmp_path / "out" / name).size == (12, 8)
        assert statuses(report) == ["written", "written", "failed", "written"]
        failure = report.outcomes[2]
        assert failure.source == album / "short.png"
        assert "short.png is damaged" in failure.reason
        assert report.others == [album / "deep" / "notes.txt"]
        assert not report.complete
        assert [(outcome, total) for outcome, total in seen] == [(o, 4) for o in report.outcomes]

    def test_a_second_run_does_nothing_again(self, album, tmp_path, nearest, monkeypatch):
        (album / "short.png").unlink()
        out = tmp_path / "out"
        upscale_folder(album, out, nearest)
        before = {name: (out / name).stat().st_mtime_ns for name in tree(out)}
        (out / "b.webp").unlink()
        report = upscale_folder(album, out, nearest)
        assert statuses(report) == ["done", "written", "done"]
        assert report.complete
        after = {name: (out / name).stat().st_mtime_ns for name in tree(out)}
        assert {name for name in after if after[name] != before[name]} == {"b.webp"}

    @pytest.mark.parametrize(
        "change",
        [{"consistent": True}, {"size": (9, 9)}, {"dtype": "bfloat16"}, {"quality": 50}],
    )
    def test_other_settings_do_not_replace_a_file_unasked(self, change, tmp_path, nearest):
        (tmp_path / "in").mkdir()
        noise().save(tmp_path / "in" / "a.png")
        upscale_folder(tmp_path / "in", tmp_path / "out", nearest)
        written = (tmp_path / "out" / "a.png").read_bytes()
        folders_ = (tmp_path / "in", tmp_path / "out", nearest, UpscaleOptions(**change))
        report = upscale_folder(*folders_)
        assert statuses(report) == ["kept"] and "--overwrite" in report.outcomes[0].reason
        assert (tmp_path / "out" / "a.png").read_bytes() == written
        assert statuses(upscale_folder(*folders_, overwrite=True)) == ["written"]
        assert statuses(upscale_folder(*folders_)) == ["done"]

    def test_another_picture_of_the_same_name_is_not_taken_for_done(self, tmp_path, nearest):
        (tmp_path / "in").mkdir()
        noise(seed=1).save(tmp_path / "in" / "a.png")
        upscale_folder(tmp_path / "in", tmp_path / "out", nearest)
        noise(seed=2).save(tmp_path / "in" / "a.png")
        assert statuses(upscale_folder(tmp_path / "in", tmp_path / "out", nearest)) == ["kept"]

    def test_a_strangers_file_is_left_alone(self, tmp_path, nearest):
        for name in ("in", "out"):
            (tmp_path / name).mkdir()
            noise(seed=len(name)).save(tmp_path / name / "a.png")
        before = (tmp_path / "out" / "a.png").read_bytes()
        assert statuses(upscale_folder(tmp_path / "in", tmp_path / "out", nearest)) == ["kept"]
        assert (tmp_path / "out" / "a.png").read_bytes() == before

    def test_without_a_seed_any_drawn_seed_counts_as_done(self, tmp_path, hvae):
        (tmp_path / "in").mkdir()
        noise().save(tmp_path / "in" / "a.png")
        run = (tmp_path / "in", tmp_path / "out", hvae)
        warm = UpscaleOptions(temperature=1.0)
        assert statuses(upscale_folder(*run, warm)) == ["written"]
        assert statuses(upscale_folder(*run, warm)) == ["done"]
        drawn = file_record(tmp_path / "out" / "a.png")["seed"]
        assert statuses(upscale_folder(*run, UpscaleOptions(temperature=1.0, seed=drawn))) == [
            "done"
        ]
        other = UpscaleOptions(temperature=1.0, seed=drawn + 1)
        assert statuses(upscale_folder(*run, other)) == ["kept"]

    def test_a_run_stopped_between_two_samples_goes_on(self, tmp_path, hvae):
        (tmp_path / "in").mkdir()
        noise().save(tmp_path / "in" / "a.png")
        run = (tmp_path / "in", tmp_path / "out", hvae, UpscaleOptions(num_samples=3, seed=4))
        upscale_folder(*run)
        assert tree(tmp_path / "out") == ["a-1.png", "a-2.png", "a-3.png"]
        whole = [(tmp_path / "out" / name).read_bytes() for name in tree(tmp_path / "out")]
        (tmp_path / "out" / "a-2.png").unlink()
        assert statuses(upscale_folder(*run)) == ["written"]
        assert whole == [(tmp_path / "out" / name).read_bytes() for name in tree(tmp_path / "out")]

    def test_a_full_disk_ends_the_run(self, album, tmp_path, nearest, monkeypatch):
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ImageError, match="No space"):
            upscale_folder(album, tmp_path / "out", nearest)
        assert tree(tmp_path / "out") == []

    def test_a_wrong_call_ends_the_run(self, album, tmp_path, nearest):
        """It would fail for every image alike."""
        with pytest.raises(ValueError, match="one answer"):
            upscale_folder(album, tmp_path / "out", nearest, UpscaleOptions(num_samples=2))


class TestPlan:
    def names(self, folder: Path, target: Path, **options: int) -> dict[str, list[str]]:
        return {
            str(job.source.relative_to(folder)): [str(t.relative_to(target)) for t in job.targets]
            for job in plan(folder, target, **options).jobs
        }

    def test_images_of_one_stem_get_distinct_names(self, tmp_path):
        for name in ("a.png", "a.jpg", "a.bmp", "b.bmp", "c.gif", "c.ppm", "D.PNG"):
            noise().save(tmp_path / name)
        assert self.names(tmp_path, Path("out")) == {
            "a.png": ["a.png"],
            "a.jpg": ["a.jpg"],
            "a.bmp": ["a.bmp.png"],
            "b.bmp": ["b.png"],
            "c.gif": ["c.gif.png"],
            "c.ppm": ["c.ppm.png"],
            "D.PNG": ["D.PNG"],
        }

    def test_what_would_still_collide_is_refused(self, tmp_path):
        for name in ("a.png", "a-1.png"):
            noise().save(tmp_path / name)
        plan(tmp_path, tmp_path / "out")
        (tmp_path / "a-1").mkdir()
        for name in ("a.bmp", "a.bmp.png"):
            noise().save(tmp_path / name)
        with pytest.raises(ImageError, match=r"would both become .*a\.bmp\.png: rename one"):
            plan(tmp_path, tmp_path / "out")

    def test_its_own_output_is_not_read(self, tmp_path, nearest):
        noise().save(tmp_path / "a.png")
        for _ in range(2):
            report = upscale_folder(tmp_path, tmp_path / "larger", nearest)
            assert len(report.outcomes) == 1 and report.others == []
        assert tree(tmp_path) == ["a.png", "larger/a.png"]

    @pytest.mark.parametrize("target", [".", "..", "../pictures"])
    def test_a_source_is_never_written_over(self, target, tmp_path):
        folder = tmp_path / "pictures"
        folder.mkdir()
        noise().save(folder / "a.png")
        with pytest.raises(ImageError, match="name another output folder"):
            plan(folder, folder / target)

    def test_links_to_folders_are_reported_not_followed(self, tmp_path, nearest):
        folder = tmp_path / "in"
        folder.mkdir()
        noise().save(folder / "a.png")
        (folder / "loop").symlink_to(folder)
        report = upscale_folder(folder, tmp_path / "out", nearest)
        assert tree(tmp_path / "out") == ["a.png"]
        assert report.others == [folder / "loop"]

    def test_nothing_is_written_outside_the_output(self, tmp_path, nearest):
        (tmp_path / "in" / "sub").mkdir(parents=True)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
        noise().save(tmp_path / "in" / "sub" / "a.png")
        report = upscale_folder(tmp_path / "in", tmp_path / "out", nearest)
        assert statuses(report) == ["failed"] and "leads out" in report.outcomes[0].reason
        assert tree(tmp_path / "elsewhere") == []

    def test_a_file_in_the_way_of_a_folder_is_one_failure(self, tmp_path, nearest):
        (tmp_path / "in" / "sub").mkdir(parents=True)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "sub").write_text("mine")
        noise().save(tmp_path / "in" / "sub" / "a.png")
        noise().save(tmp_path / "in" / "z.png")
        report = upscale_folder(tmp_path / "in", tmp_path / "out", nearest)
        assert statuses(report) == ["written", "failed"]

    def test_empty_and_absent_folders(self, tmp_path):
        with pytest.raises(ImageError, match="no image"):
            plan(tmp_path, tmp_path / "out")
        with pytest.raises(ImageError, match="not a folder"):
            plan(tmp_path / "absent", tmp_path / "out")
        noise().save(tmp_path / "a.png")
        with pytest.raises(ImageError, match="name a folder"):
            plan(tmp_path, tmp_path / "a.png")


class TestFile:
    def test_the_record_is_enough_to_make_the_picture_again(self, tmp_path, hvae):
        noise().save(tmp_path / "in.png")
        upscale_file(
            tmp_path / "in.png", [tmp_path / "a.png"], hvae, UpscaleOptions(temperature=1.0)
        )
        record = file_record(tmp_path / "a.png")
        assert record["model"] == "tiny-hvae" and record["revision"] == hvae.revision
        assert (record["scale"], record["temperature"]) == (2, 1.0)
        again = hvae.upscale(
            open_image(tmp_path / "in.png"),
            temperature=record["temperature"],
            seed=record["seed"],
            consistent=record["consistent"],
        )
        assert again.tobytes() == open_image(tmp_path / "a.png").tobytes()

    def test_at_temperature_0_no_seed_is_drawn(self, tmp_path, hvae):
        noise().save(tmp_path / "in.png")
        upscale_file(tmp_path / "in.png", [tmp_path / "a.png"], hvae, UpscaleOptions())
        assert file_record(tmp_path / "a.png")["seed"] is None

    def test_every_sample_knows_its_number(self, tmp_path, hvae):
        noise().save(tmp_path / "in.png")
        targets = [tmp_path / f"{n}.png" for n in range(3)]
        upscale_file(tmp_path / "in.png", targets, hvae, UpscaleOptions(num_samples=3))
        records = [file_record(target) for target in targets]
        assert [record["sample"] for record in records] == [1, 2, 3]
        assert {record["temperature"] for record in records} == {SEVERAL}
        assert len({target.read_bytes() for target in targets}) == 3

    def test_lost_transparency_is_refused_before_the_work(self, tmp_path, nearest, monkeypatch):
        Image.new("RGBA", (4, 4), (1, 2, 3, 99)).save(tmp_path / "in.png")
        monkeypatch.setattr(Upscaler, "images", lambda *_, **__: pytest.fail("it ran"))
        with pytest.raises(ImageError, match="transparency"):
            upscale_file(tmp_path / "in.png", [tmp_path / "out.jpg"], nearest, UpscaleOptions())

    @pytest.mark.parametrize(
        ("name", "value"),
        [("num_samples", 0), ("temperature", -1), ("temperature", float("nan")), ("quality", 101)],
    )
    def test_settings_out_of_range(self, name, value):
        with pytest.raises(ValueError, match=f"{name} must"):
            UpscaleOptions(**{name: value})


class TestSize:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [((24, 24), (24, 16)), ((13, 99), (13, 9)), ((48, 32), (48, 32)), ((3, 3), (6, 4))],
    )
    def test_the_model_runs_until_only_shrinking_is_left(self, size, expected, nearest):
        (larger,) = Upscaler(nearest, UpscaleOptions(size=size)).images(noise(6, 4))
        assert larger.size == expected

    def test_a_size_the_model_hits_is_not_resampled(self, nearest):
        image = noise(6, 4)
        (larger,) = Upscaler(nearest, UpscaleOptions(size=(12, 8))).images(image)
        assert larger.tobytes() == nearest.upscale(image).tobytes()

    def test_sideways_pictures_fit_by_what_is_seen(self, nearest, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        noise(6, 4).save(tmp_path / "in.png", exif=exif)
        image = open_image(tmp_path / "in.png")
        (larger,) = Upscaler(nearest, UpscaleOptions(size=(99, 12))).images(image)
        assert larger.size == (8, 12)

    @pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16", "P", "CMYK"])
    def test_modes_survive(self, mode, nearest):
        image = noise().convert("L").convert("I").point(lambda v: v * 200)
        image = image.convert("I;16") if mode == "I;16" else noise().convert(mode)
        (larger,) = Upscaler(nearest, UpscaleOptions(size=(9, 6))).images(image)
        assert larger.size == (9, 6)
        assert larger.mode == {"P": "RGB", "CMYK": "RGB"}.get(mode, mode)

    def test_several_samples(self, hvae):
        answers = Upscaler(hvae, UpscaleOptions(num_samples=2, size=(20, 20), seed=1)).images(
            noise()
        )
        assert [answer.size for answer in answers] == [(20, 13), (20, 13)]
        assert answers[0].tobytes() != answers[1].tobytes()

    def test_several_samples_of_nothing_to_draw_are_refused(self, hvae):
        with pytest.raises(ImageError, match="one sample"):
            Upscaler(hvae, UpscaleOptions(num_samples=2, size=(3, 3))).images(noise())

    def test_too_far_is_refused(self, nearest):
        with pytest.raises(ImageError, match="48x32 in 3 passes"):
            Upscaler(nearest, UpscaleOptions(size=(4000, 4000))).images(noise(6, 4))


def test_a_model_is_known_by_name_and_content(hvae):
    """What resuming relies on."""
    assert hvae.name == "tiny-hvae"
    assert hvae.revision and len(hvae.revision) == 12
    assert torch.equal(hvae.upscale(torch.zeros(1, 3, 2, 2)), hvae.upscale(torch.zeros(1, 3, 2, 2)))
