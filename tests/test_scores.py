"""Photographs are scored as papers print them: golden values, and what the wrong way would give."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import Nearest, shaken, tiny_cnn, tiny_hvae
from PIL import Image
from skimage.color import rgb2ycbcr
from torchmetrics.functional.image import structural_similarity_index_measure

from hvae_sr import cli
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import DataError
from hvae_sr.evaluation import bounds, cards, metrics, report, tables
from hvae_sr.evaluation.references import References, load_references
from hvae_sr.evaluation.results import by_set
from hvae_sr.nn.colour import luma
from hvae_sr.nn.resize import enlarge, quantise
from hvae_sr.training.data import DeadLeaves

BENCHMARK = Path(__file__).parent.parent.parent / "shared" / "data" / "photos" / "benchmark"
CPU = torch.device("cpu")
# MATLAB's figures, bicubic both ways, PSNR on Y for x2, x3, x4: the first line of many tables.
GOLDEN = {
    "set5": (33.68, 30.40, 28.43),
    "set14": (30.24, 27.54, 26.00),
    "bsd100": (29.56, 27.21, 25.96),
}


def leaves(count: int = 1, side: int = 96, seed: int = 0) -> torch.Tensor:
    """Procedural images in colour, uint8 (count, 3, side, side)."""
    return DeadLeaves(side).batch(seed, 0, count).hr


def write_folder(folder: Path, *sizes: tuple[int, int], grey: bool = False) -> Path:
    folder.mkdir(parents=True)
    for index, (width, height) in enumerate(sizes):
        pixels = leaves(1, 64, index)[0, :, :height, :width].permute(1, 2, 0).numpy()
        image = Image.fromarray(pixels)
        (image.convert("L") if grey else image).save(folder / f"{index}.png")
    return folder


def bicubic_psnr(references: References, scale: int) -> list[float]:
    down = get_degradation("bicubic", scale)
    values = []
    for hr in references.on(CPU):
        answer = quantise(enlarge(down(hr.expand(-1, 3, -1, -1)), scale))
        values.append(float(metrics.psnr(*metrics.planes(answer, hr, scale))))
    return values


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", GOLDEN)
def test_bicubic_scores_what_papers_print(name, scale):
    if not (BENCHMARK / name).is_dir():
        pytest.skip(f"{name} is not on this machine; Pillow's bicubic is the judge below")
    values = bicubic_psnr(load_references(name, scale, root=BENCHMARK), scale)
    assert np.mean(values) == pytest.approx(GOLDEN[name][scale - 2], abs=0.02)


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pillow's bicubic on each colour in floating point, then rounded: uint8 (height, width, 3)."""
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in pixels.transpose(2, 0, 1)]
    larger = [np.asarray(p.resize((width, height), Image.Resampling.BICUBIC)) for p in planes]
    return np.stack(larger, axis=-1).clip(0, 255).round().astype(np.uint8)


def by_hand(hr: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Pillow's bicubic both ways, Y by scikit-image, border cut: what is compared, 0 to 255."""
    height, width, _ = hr.shape
    answer = resized(resized(hr, width // scale, height // scale), width, height)
    inner = (slice(scale, -scale), slice(scale, -scale), 0)
    return rgb2ycbcr(answer)[inner], rgb2ycbcr(hr)[inner]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scores_agree_with_pillow_scikit_image_and_torchmetrics(scale):
    pixels = leaves(2)
    references = References([pixels], "leaves", "y")
    model = Nearest(scale=scale, degradation="bicubic")
    measured = report.evaluate(model, references)["scores"]["bicubic"]
    pairs = [by_hand(one.permute(1, 2, 0).numpy(), scale) for one in pixels]
    expected = np.mean([10 * np.log10(255**2 / np.mean((a - b) ** 2)) for a, b in pairs])
    assert measured["psnr"] == pytest.approx(expected, abs=0.003)
    inside = []
    for pair in pairs:
        a, b = (torch.from_numpy(plane)[None, None] for plane in pair)
        _, full = structural_similarity_index_measure(
            a, b, data_range=255.0, return_full_image=True
        )
        inside.append(float(full[..., 5:-5, 5:-5].mean()))
    assert measured["ssim"] == pytest.approx(np.mean(inside), abs=2e-4)


def test_the_wrong_conventions_would_give_other_figures():
    """Each of them is off by more than the difference between two published networks."""
    hr = leaves(2).float().div(255)
    hr[1] = 0.5 + 0.2 * (hr[1] - 0.5)  # an easy image beside a hard one
    hr = quantise(hr)
    down = get_degradation("bicubic", 4)
    answer = quantise(enlarge(down(hr), 4))
    planes = metrics.planes(answer, hr, 4)
    right = float(metrics.psnr(*planes).mean())

    pooled = -10 * float((planes[0] - planes[1]).square().mean().log10())
    assert right - pooled > 0.2
    full_range = [(plane - 16 / 255) * 255 / 219 for plane in planes]
    assert right - float(metrics.psnr(*full_range).mean()) == pytest.approx(1.32, abs=0.01)
    assert right - float(metrics.psnr(answer, hr).mean()) > 0.5
    aliased = quantise(torch.nn.functional.interpolate(hr, scale_factor=1 / 4, mode="bicubic"))
    wrong = metrics.psnr(*metrics.planes(quantise(enlarge(aliased, 4)), hr, 4)).mean()
    assert right - float(wrong) > 0.3
    torch_kernel = torch.nn.functional.interpolate(down(hr), scale_factor=4, mode="bicubic")
    sharper = metrics.psnr(*metrics.planes(quantise(torch_kernel), hr, 4)).mean()
    assert abs(right - float(sharper)) > 0.05


def test_luma_is_sixteen_for_black_and_235_for_white():
    black, white = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert luma(black).mul(255).round().unique().tolist() == [16]
    assert luma(white).mul(255).round().unique().tolist() == [235]


def test_borders_do_not_count():
    hr = leaves(1, 32).float().div(255)
    broken = hr.clone()
    broken[..., :4, :] = 0
    broken[..., -4:] = 1
    lr = get_degradation("bicubic", 4)(hr)
    scores = metrics.score(broken, hr, lr, get_degradation("bicubic", 4), "y")
    assert float(scores.psnr) == 100 and float(scores.ssim) == pytest.approx(1)
    assert float(scores.lr_psnr) < 30  # the LR image has borders, and they count


def test_a_grey_file_is_scored_on_its_grey_values(tmp_path):
    """The 16 to 235 map shrinks errors by 219 / 255, which would flatter it by 1.32 dB."""
    grey = load_references(str(write_folder(tmp_path / "a", (48, 40), grey=True)), 4)
    (hr,) = grey.batches
    assert hr.shape == (1, 1, 40, 48)
    colour = References([hr.expand(-1, 3, -1, -1)], "the same as RGB", "y")
    gap = bicubic_psnr(colour, 4)[0] - bicubic_psnr(grey, 4)[0]
    assert gap == pytest.approx(1.32, abs=0.02)


def test_the_convention_follows_from_the_data_and_is_said(tmp_path):
    folder = write_folder(tmp_path / "photos", (40, 36))
    np.save(tmp_path / "small.npy", leaves(2, 16).permute(0, 2, 3, 1).numpy())
    model = Nearest(scale=4, degradation="bicubic")
    said = {
        source: tables.markdown(
            report.evaluate(model, load_references(source, 4, root=tmp_path, space=space))
        )
        for source, space in (("photos", None), ("small.npy", None), (str(folder), "rgb"))
    }
    assert "Y of BT.601 (16 to 235), a border of 4 pixels shaved" in said["photos"]
    assert "RGB, rounded" in said["small.npy"] and "RGB, rounded" in said[str(folder)]
    with pytest.raises(DataError, match="rgb or y"):
        load_references("photos", 4, root=tmp_path, space="lab")


def test_images_too_small_for_the_window_are_named(tmp_path):
    references = load_references(str(write_folder(tmp_path / "tiny", (16, 40))), 4)
    with pytest.raises(DataError, match="tiny holds an image 16 pixels"):
        report.evaluate(Nearest(scale=4, degradation="bicubic"), references)


def photo_model():
    return shaken(tiny_hvae(degradation="bicubic"), 0.02)


def test_samples_of_photographs_are_consistent_diverse_and_repeatable():
    references = References([leaves(1, 40), leaves(1, 48)[:, :1]], "leaves", "y")
    model = photo_model()
    first, again = (report.evaluate(model, references, samples=3, seed=5) for _ in range(2))
    assert first == again
    scores = first["scores"]
    assert list(scores) == [
        "bicubic",
        "bicubic, projected",
        "T = 0",
        "T = 0.8",
        "T = 1",
        report.SAMPLE,
        "mean of 3",
        "T = 0, projected",
        "T = 0.8, projected",
        "mean of 3, projected",
    ]
    assert scores["T = 0.8, projected"]["lr_psnr"] >= 45 > scores["T = 1"]["lr_psnr"]
    assert scores["mean of 3"]["psnr"] > scores["T = 1"]["psnr"]
    assert first["calibration"]["deviation"] > 0 and first["samples"] == 3


def test_bits_of_photographs_come_from_their_middle():
    """Only the middle decides: what lies outside the crop may be anything."""
    inside = leaves(1, bounds.CROP + 32)
    outside = inside.clone()
    outside[..., :16, :] = 0
    model = photo_model()
    bits = [
        bounds.bits_of(model, References([pixels], "leaves", "y")) for pixels in (inside, outside)
    ]
    assert bits[0] == bits[1]


def test_several_data_sets_make_one_report(tmp_path, monkeypatch, capsys):
    write_folder(tmp_path / "set5", (40, 36))
    write_folder(tmp_path / "mine", (36, 40), (40, 40))
    tiny_cnn(degradation="bicubic").save_pretrained(tmp_path / "model")
    arguments = ["evaluate", tmp_path / "model", "--data", "set5", "--data", "mine"]
    arguments += ["--data-root", tmp_path, "--out", tmp_path / "results"]
    monkeypatch.setattr(sys, "argv", ["hvae-sr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr().out
    assert not stop.value.code
    assert "### Set5" in printed and "### mine" in printed
    results = json.loads((tmp_path / "results.json").read_text())
    assert {name: r["images"] for name, r in by_set(results).items()} == {
        "Set5": 1,
        "mine": 2,
    }
    assert (tmp_path / "results.md").read_text().strip() == printed.strip()


def test_two_data_sets_of_one_name_are_refused_before_any_work(tmp_path):
    folders = [write_folder(tmp_path / side / "val", (40, 40)) for side in "ab"]
    references = [load_references(str(folder), 2) for folder in folders]
    with pytest.raises(DataError, match="same name"):
        report.evaluate_all(tiny_cnn(2), references)


FACTS = {
    "command": "python train.py --preset photo --data photos",
    "data": "64x64 crops of 9 images from photos",
    "validation": 1,
    "steps": 10,
    "images": 80,
    "minutes": 0.1,
    "hardware": "CPU",
    "precision": "no",
    "seed": 0,
    "skipped_gradients": 0,
    "torch": "2",
}


def model_folder(folder: Path, model, *names: str) -> Path:
    """A model folder as training and `hvae-sr evaluate` leave it."""
    model.save_pretrained(folder)
    sets = [References([leaves(1, 40, seed=seed)], name, "y") for seed, name in enumerate(names)]
    results = report.evaluate_all(model, sets, **({"samples": 2} if "hvae" in folder.name else {}))
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "training.json").write_text(json.dumps(FACTS))
    (folder / "notes.md").write_text("A model of photographs.")
    return folder


@pytest.mark.parametrize(
    ("name", "make"),
    [("photo-cnn", lambda: tiny_cnn(degradation="bicubic")), ("photo-hvae", photo_model)],
)
def test_a_card_of_photographs_shows_every_set(name, make, tmp_path):
    folder = model_folder(tmp_path / name, make().eval(), "Set5", "BSD100")
    cards.write_card(folder)
    text = (folder / "README.md").read_text()
    results = json.loads((folder / "results.json").read_text())["sets"]
    best = "T = 0" if name == "photo-hvae" else "model"
    index = yaml.safe_load(text.split("---")[1])["model-index"][0]["results"]
    assert {r["dataset"]["name"]: r["metrics"][0] for r in index} == {
        data: {
            "type": "psnr",
            "name": "PSNR (dB, Y)",
            "value": round(results[data]["scores"][best]["psnr"], 2),
        }
        for data in ("Set5", "BSD100")
    }
    samples = " --samples 2" if name == "photo-hvae" else ""
    said = f"hvae-sr evaluate {name} --data set5 --data bsd100 --data-root FOLDER{samples}`"
    assert said in text
    assert ("Upscaler" in text) == (name == "photo-hvae")
    assert "### Set5" in text and "CIFAR" not in text and "thumbnails" not in text
    assert FACTS["data"] in text
    assert "| answer | PSNR (dB) | SSIM | LR-PSNR (dB) | sharpness |\n" in text


def test_the_table_of_photographs_puts_models_below_bicubic_at_their_scale(tmp_path):
    models = {
        "a-x2": tiny_cnn(2, degradation="bicubic").eval(),
        "b-hvae-x4": photo_model(),
        "c-x4": tiny_cnn(4, degradation="bicubic").eval(),
    }
    results = {}
    for name, model in models.items():
        sets = ["Set5"] if name == "c-x4" else ["Set5", "mine"]
        folder = model_folder(tmp_path / name, model, *sets)
        results[name] = json.loads((folder / "results.json").read_text())
    lines = tables.photographs(results).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["model", "parameters", "answer", "Set5", "mine", "LR-PSNR"]
    assert [row[0] for row in cells[2:]] == [
        "*x2, bicubic*",
        "`a-x2`",
        "*x4, bicubic*",
        "`b-hvae-x4`",
        *[""] * 3,
        "`c-x4`",
    ]
    assert [row[2] for row in cells[5:9]] == ["T = 0", "mean of 2", "T = 0.8, projected", "T = 1"]
    assert len({len(row) for row in cells}) == 1
    scores = results["b-hvae-x4"]["sets"]["mine"]["scores"]["T = 0"]
    assert cells[5][4] == f"{scores['psnr']:.2f} / {scores['ssim']:.4f}"
    assert cells[-1][4] == ""  # never measured there


@pytest.mark.parametrize("name", ["photo-cnn", "photo-hvae"])
def test_a_blind_model_is_scored_without_what_needs_a_linear_degradation(name, tmp_path):
    model = {"photo-cnn": tiny_cnn, "photo-hvae": tiny_hvae}[name](degradation="blind").eval()
    folder = model_folder(tmp_path / name, model, "Set5", "mine")
    sets = json.loads((folder / "results.json").read_text())["sets"]
    for report_of_set in sets.values():
        names = list(report_of_set["scores"])
        assert names[0] == "bicubic" and not any("projected" in each for each in names)
        assert all("lr_psnr" not in scores for scores in report_of_set["scores"].values())
    again = model_folder(tmp_path / "again" / name, model, "Set5", "mine")
    assert json.loads((again / "results.json").read_text())["sets"] == sets
    cards.write_card(folder)
    text = (folder / "README.md").read_text()
    assert "| answer | PSNR (dB) | SSIM | sharpness |\n" in text
    assert "degraded as its training images were" in " ".join(text.split())
    assert "consistent=True" not in text
