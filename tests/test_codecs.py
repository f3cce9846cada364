"""Storing coarsely against full-size codecs at equal bytes."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Nearest, smooth_images
from PIL import Image, features

from benchmarks import __main__ as benchmarks
from benchmarks import codecs
from hvae_sr.errors import DataError
from hvae_sr.imaging.files import open_image
from hvae_sr.imaging.pixels import to_image, to_tensor
from hvae_sr.rescale import shrink_file

AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    return to_image(smooth_images(1, 3, height, width, seed=seed)[0])


@pytest.mark.parametrize("codec", ["JPEG", "WEBP", pytest.param("AVIF", marks=AVIF)])
def test_bisection_finds_the_highest_quality_within_the_bytes(codec):
    versions = codecs.FullSize(photo(32, 24), codec)
    sizes = {quality: len(versions.encode(quality)) for quality in codecs.QUALITIES}
    assert sizes[1] < sizes[100]
    for budget in np.linspace(sizes[1], sizes[100], 7).astype(int):
        found = versions.best_within(int(budget))
        assert sizes[found] <= budget
        assert found == 100 or sizes[found + 1] > budget
        larger = [q for q in codecs.QUALITIES if q > found and sizes[q] <= budget]
        # Sizes waver by a few bytes between neighbours; no quality much higher is missed.
        assert max(larger, default=found) - found <= 5


def test_each_quality_is_encoded_once(monkeypatch):
    image, calls = photo(16, 16), []
    save = Image.Image.save
    monkeypatch.setattr(
        Image.Image, "save", lambda *a, **k: (calls.append(k["quality"]), save(*a, **k))
    )
    versions = codecs.FullSize(image, "JPEG")
    for budget in (400, 500, 600, 400):
        versions.best_within(budget)
    assert len(calls) == len(set(calls)) < 30


def test_an_impossible_budget_gives_the_smallest_file():
    assert codecs.FullSize(photo(16, 16), "JPEG").best_within(1) == 1


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> tuple[codecs.Comparison, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for seed, size in enumerate([(40, 32), (37, 29)]):
        image = photo(*size, seed=seed)
        image.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
        image.save(folder / f"{seed}.png", exif=image.info["exif"])
    settings = (codecs.Setting("PNG"), codecs.Setting("WEBP", 60))
    return codecs.compare(Nearest(), folder, settings=settings), folder


def test_the_comparison_has_a_line_for_every_way(comparison):
    rows = comparison[0].rows
    rivals = [codec for codec in codecs.RIVALS if codecs.available(codec)]
    assert len(rows) == 2 * (2 + len(rivals))
    assert {row.stored for row in rows} == {"PNG", "WebP 60"}
    for row in rows:
        assert (row.beaten is None) == (row.method == codecs.RESTORED)
        assert row.beaten is None or all(0 <= wins <= 2 for wins in row.beaten)


def test_bytes_are_those_of_the_files_that_shrink_writes(comparison, tmp_path):
    result, folder = comparison
    rates = []
    for source in sorted(folder.iterdir()):
        target = tmp_path / f"{source.stem}.png"
        plain = tmp_path / "plain.png"
        to_image(to_tensor(open_image(source))[0]).save(plain)
        shrink_file(plain, target, Nearest())
        width, height = Image.open(source).size
        rates.append(8 * target.stat().st_size / (width * height))
    ours = next(r for r in result.rows if (r.stored, r.method) == ("PNG", codecs.RESTORED))
    assert ours.bits_per_pixel == pytest.approx(np.mean(rates))


def test_rivals_get_no_more_bytes_than_the_small_file(comparison):
    rows = comparison[0].rows
    for stored in ("PNG", "WebP 60"):
        ours = next(r for r in rows if (r.stored, r.method) == (stored, codecs.RESTORED))
        for row in (r for r in rows if r.stored == stored and not r.over):
            assert row.bits_per_pixel <= ours.bits_per_pixel


def test_the_table_states_data_count_and_encoders(comparison):
    text = codecs.markdown(comparison[0])
    head, table = text.split("\n\n")
    assert head.startswith("2 images") and comparison[1].name in head and "Pillow" in head
    widths = {line.count("|") for line in table.strip().splitlines()}
    assert len(widths) == 1
    assert len(table.strip().splitlines()) == 2 + len(comparison[0].rows)


def test_the_comparison_repeats_exactly(comparison):
    settings = (codecs.Setting("WEBP", 60),)
    again = codecs.compare(Nearest(), comparison[1], settings=settings)
    assert again.rows == [row for row in comparison[0].rows if row.stored == "WebP 60"]


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(DataError, match="no image"):
        codecs.compare(Nearest(), tmp_path)


def test_images_too_small_to_compare_are_refused(tmp_path):
    photo(40, 10).save(tmp_path / "flat.png")
    with pytest.raises(DataError, match="11 pixels"):
        codecs.compare(Nearest(), tmp_path)


def test_the_command_prints_the_table(comparison, tmp_path, capsys):
    Nearest().save_pretrained(tmp_path / "nearest")
    arguments = [str(comparison[1]), "--model", str(tmp_path / "nearest"), "--limit", "1"]
    assert benchmarks.main(["codecs", *arguments]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 images") and "full size, JPEG" in out
