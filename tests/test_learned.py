"""Metrics that need a trained network: how they are asked for, and that they are what they say."""

import re
import sys
import urllib.error
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from conftest import shaken, tiny_cnn, tiny_hvae, tiny_lr_prior
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from hvae_sr.errors import MetricError, ModelError
from hvae_sr.evaluation import cards, learned, networks, report, tables
from hvae_sr.evaluation.frechet import GaussianFit, frechet_distance
from hvae_sr.evaluation.references import References
from hvae_sr.training.data import DeadLeaves

CPU = torch.device("cpu")
FEATURES = 6


def draws(count: int, mean: Tensor, deviation: Tensor, seed: int) -> Tensor:
    noise = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(seed))
    return mean + deviation * noise.double()


def fitted(*batches: Tensor) -> GaussianFit:
    fit = GaussianFit()
    for batch in batches:
        fit.add(batch)
    return fit


class Colours(nn.Module):
    """A feature network that anyone can check: mean and mean square of each colour."""

    num_features = FEATURES

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images.mean(dim=(2, 3)), images.square().mean(dim=(2, 3))], dim=1)


@pytest.fixture
def colours(monkeypatch) -> Iterator[None]:
    """Both kinds of metric on networks of a line: no weights, no download."""
    monkeypatch.setitem(
        networks.PAIRS,
        "feature-distance",
        networks.PairMetric(
            "feature distance", lambda device: lambda a, b: (a - b).abs().amax((1, 2, 3))
        ),
    )
    monkeypatch.setitem(
        networks.SETS,
        "frechet-distance",
        networks.SetMetric("Frechet distance", FEATURES, lambda device: Colours()),
    )
    yield


def references(count: int = 12) -> References:
    return References(list(DeadLeaves(32).batch(0, 0, count).hr.split(5)), "leaves")


def test_the_frechet_distance_of_independent_features_has_a_closed_form():
    """|m - n|^2 + sum of (s - t)^2."""
    m, n = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([0.5, 1.0, 0.0]).double()
    s, t = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([2.0, 1.0, 0.5]).double()
    found = frechet_distance(fitted(draws(200_000, m, s, 0)), fitted(draws(200_000, n, t, 1)))
    assert found == pytest.approx(float((m - n).square().sum() + (s - t).square().sum()), rel=0.01)


def test_the_frechet_distance_of_a_rotated_set_needs_the_matrix_root():
    """C and R C R^T of two features: tr(2 C) - 2 tr(root), by scipy."""
    scipy = pytest.importorskip("scipy.linalg")
    a = draws(5_000, torch.zeros(2), torch.tensor([3.0, 0.3]), 0)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]]).double()
    first, second = fitted(a), fitted(a @ turn)
    root = scipy.sqrtm((first.covariance @ second.covariance).numpy()).real
    means = float((first.mean - second.mean).square().sum())
    expected = float(first.covariance.trace() + second.covariance.trace()) - 2 * root.trace()
    assert frechet_distance(first, second) == pytest.approx(means + expected)


def test_the_frechet_distance_of_a_set_from_itself_is_nothing():
    a = draws(50, torch.ones(8), torch.arange(8), 0)  # one feature never moves
    assert frechet_distance(fitted(a), fitted(a[:20], a[20:])) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="at least 2 images"):
        frechet_distance(fitted(a), fitted(a[:1]))


def test_the_frechet_distance_agrees_with_torchmetrics():
    real, fake = (DeadLeaves(16).batch(seed, 0, 40).hr.float() / 255 for seed in (0, 1))
    theirs = FrechetInceptionDistance(feature=Colours(), normalize=True)
    theirs.update(real, real=True)
    theirs.update(fake**2, real=False)
    ours = frechet_distance(fitted(Colours()(real)), fitted(Colours()(fake**2)))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-3)


def test_metrics_stand_in_the_report_and_its_table(colours):
    names = ("feature-distance", "frechet-distance")
    result = report.evaluate(tiny_cnn().eval(), references(), metrics=names)
    for scores in result["scores"].values():
        assert 0 < scores["feature-distance"] <= 1 and scores["frechet-distance"] > 0
    text = tables.markdown(result)
    assert "| feature distance | Frechet distance |" in text
    assert f"{result['scores']['model']['feature-distance']:.4f}" in text
    assert "prior" not in text
    assert learned.options(result) == " --metric feature-distance --metric frechet-distance"
    assert cards._command({"leaves": result}).endswith(learned.options(result))


def test_batches_make_no_difference(colours):
    names = ("feature-distance", "frechet-distance")
    whole = References([DeadLeaves(32).batch(0, 0, 12).hr], "leaves")
    model = tiny_cnn().eval()
    a, b = (report.evaluate(model, each, metrics=names) for each in (whole, references()))
    for name in names:
        assert a["scores"]["model"][name] == pytest.approx(b["scores"]["model"][name], rel=1e-4)


def test_none_is_measured_unasked(colours):
    result = report.evaluate(tiny_cnn().eval(), references(2))
    assert not {"feature-distance", "frechet-distance"} & set(result["scores"]["model"])
    assert learned.options(result) == "" and learned.columns(result) == []


def test_samples_of_p_x_are_compared_as_a_set(colours):
    model = shaken(tiny_hvae().with_lr_prior(tiny_lr_prior())).eval()
    training = DeadLeaves(32).batch(1, 0, 9).hr
    options = {"metrics": ["frechet-distance"], "prior_samples": 8, "samples": 2}
    result, again = (
        report.evaluate(model, references(), training=training, **options) for _ in range(2)
    )
    found = result["prior_samples"]
    assert (found["samples"], found["references"]) == (8, 21)
    assert found["frechet-distance"] > 0 and again["prior_samples"] == found
    assert "8 samples of p(x) against 21 images: Frechet distance " in tables.markdown(result)
    assert learned.options(result).endswith("--prior-samples 8")


def test_references_of_p_x_are_no_more_than_the_limit(colours, monkeypatch):
    monkeypatch.setattr(learned, "REFERENCES", 7)
    model = shaken(tiny_hvae().with_lr_prior(tiny_lr_prior())).eval()
    panel = learned.Panel(["frechet-distance"], CPU, 12, "leaves")
    batches = (hr for hr in references().on(CPU))
    assert panel.of_samples(model, 7, batches, 0)["references"] == 7


def test_what_cannot_be_compared_is_refused_in_a_sentence(colours):
    model = tiny_hvae().eval()
    with pytest.raises(MetricError, match="'psnr' is not a metric: choose from feature-distance"):
        report.evaluate(model, references(), metrics=["psnr"])
    with pytest.raises(MetricError, match=r"6 features .* leaves has 6: leave it out"):
        report.evaluate(model, references(6), metrics=["frechet-distance"])
    with pytest.raises(MetricError, match="compared as a set"):
        report.evaluate(model, references(), prior_samples=8)
    with pytest.raises(MetricError, match="smaller of the two sets has 3"):
        report.evaluate(model, references(), metrics=["frechet-distance"], prior_samples=3)
    with pytest.raises(ModelError, match=r"no p\(y\)"):
        report.evaluate(model, references(), metrics=["frechet-distance"], prior_samples=8)
    with pytest.raises(ModelError, match=r"StudyCNN has no p\(x\)"):
        report.evaluate(tiny_cnn(), references(), metrics=["frechet-distance"], prior_samples=8)
    sizes = [torch.zeros(4, 3, 32, 32), torch.zeros(4, 3, 16, 16)]
    panel = learned.Panel(["frechet-distance"], CPU, 12, "leaves")
    with pytest.raises(MetricError, match="one size only"):
        panel.of_samples(model, 8, sizes, 0)


@pytest.mark.parametrize(
    ("name", "file"),
    [("lpips", "alexnet"), ("dists", "vgg16"), ("fid", "inception")],
)
def test_weights_that_cannot_be_downloaded_are_one_sentence(name, file, monkeypatch, tmp_path):
    if name == "fid":
        pytest.importorskip("torch_fidelity")

    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    pattern = (
        rf"could not be downloaded .*no network.* put \S*{file}\S* into {re.escape(str(tmp_path))}"
    )
    with pytest.raises(MetricError, match=pattern):
        learned.Panel([name], CPU, 3_000, "leaves")


def test_fid_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    networks._inception.cache_clear()
    with pytest.raises(MetricError, match=r"pip install 'hvae-sr\[metrics\]'"):
        learned.Panel(["fid"], CPU, 3_000, "leaves")


def test_lpips_is_torchmetrics_own_image_by_image(monkeypatch):
    """On AlexNet without its trained weights: what is fed to it is what is tested."""
    from torchmetrics.functional.image import lpips
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    from torchvision.models import alexnet

    torch.manual_seed(0)
    monkeypatch.setattr(lpips, "_get_tv_model_features", lambda net, pretrained: features)
    features = alexnet(weights=None).features
    a, b = (DeadLeaves(64).batch(seed, 0, 3).hr.float() / 255 for seed in (0, 1))
    whole = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)(a, b)
    networks._lpips.cache_clear()
    try:
        each = networks._lpips(CPU)(a, b)
        assert each.shape == (3,)
        assert each.mean() == pytest.approx(float(whole))
        assert networks._lpips(CPU)(a[:1], a[:1]).tolist() == [0.0]
        least = networks.PAIRS["lpips"].smallest
        assert networks._lpips(CPU)(*[a[..., :least, :least]] * 2).shape == (3,)
        with pytest.raises(MetricError, match=f"at least {least} pixels a side, not 64x30"):
            panel = learned.Panel(["lpips"], CPU, 3, "leaves")
            panel.add({}, a[..., : least - 1, :])
    finally:
        networks._lpips.cache_clear()


def test_dists_is_torchmetrics_own_image_by_image(monkeypatch):
    from torchmetrics.functional.image import dists
    from torchvision.models import vgg

    torch.manual_seed(0)
    features = vgg.make_layers(vgg.cfgs["D"])
    monkeypatch.setattr(dists, "vgg16", lambda weights: SimpleNamespace(features=features))
    a, b = (DeadLeaves(64).batch(seed, 0, 2).hr.float() / 255 for seed in (0, 1))
    networks._dists.cache_clear()
    try:
        each = networks._dists(CPU)(a, b)
        expected = dists.deep_image_structure_and_texture_similarity(a, b)
        torch.testing.assert_close(each, expected.detach())
        assert networks._dists(CPU)(a[:1], b[:1]).shape == (1,)
    finally:
        networks._dists.cache_clear()


def test_fid_feeds_8_bit_images_to_inception(monkeypatch):
    pytest.importorskip("torch_fidelity")
    from torchmetrics.image import fid

    seen: list[Tensor] = []

    def inception(feature: int) -> SimpleNamespace:
        return SimpleNamespace(inception=Recorder(seen))

    monkeypatch.setattr(fid, "FrechetInceptionDistance", inception)
    networks._inception.cache_clear()
    try:
        pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
        assert networks._inception(CPU)(pixels.float() / 255).shape == (1, 2048)
        assert torch.equal(seen[0], pixels)
    finally:
        networks._inception.cache_clear()


class Recorder(nn.Module):
    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return torch.zeros(len(images), 2048)
