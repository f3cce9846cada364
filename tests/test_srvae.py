"""srVAE: two images, two latents, and who is given what; asked through the public contract."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import (
    check_bounds_near,
    integrated,
    pair,
    random_images,
    save_as_format,
    shaken,
    tiny_hvae,
    tiny_srvae,
)
from torch import Tensor

import hvae_sr
from hvae_sr.errors import ModelError
from hvae_sr.models import SRVAE
from hvae_sr.nn.distributions import bits_per_dim
from hvae_sr.nn.latents import LatentSource
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import quantise
from hvae_sr.training.recipes import PRESETS

# Parameters of the authors' `srVAE(x_shape=(3, 32, 32))` with its defaults and `--network
# densenet16x32 --prior RealNVP`, by network, gains of weight normalisation included; counted
# from github.com/ioangatop/srVAE at commit dfee765. Together 39.3 million.
OFFICIAL = {
    "p(u)": 11_411_876,
    "q(u | y)": 3_934_912,
    "p(y | u)": 4_354_140,
    "q(z | x)": 3_027_986,
    "p(z | y, u)": 6_428_516,
    "p(x | y, z)": 10_115_140,
}


def other(model: SRVAE, hr: Tensor) -> Tensor:
    """Other HR images that shrink to about the same: their detail is mirrored."""
    assert model.degradation is not None
    detail = torch.zeros_like(hr)
    detail[..., ::2, ::2], detail[..., 1::2, 1::2] = 0.1, -0.1
    return hr + detail


class TestGraph:
    """Which variable each factor of p and of q is given, and which it is not."""

    def passes(self, model: SRVAE, hr: Tensor, lr: Tensor, given: list[Tensor | None]) -> Any:
        with torch.no_grad():
            return model.top_down(lr, model.bottom_up(hr, lr), LatentSource(Noise(0), given=given))

    def test_u_is_inferred_from_y_alone(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        _, (one, _) = self.passes(model, hr, lr, [])
        _, (same, _) = self.passes(model, other(model, hr), lr, [])
        _, (moved, _) = self.passes(model, hr, lr.flip(-1), [])
        assert torch.equal(one.posterior.mean, same.posterior.mean)
        assert not torch.equal(one.posterior.mean, moved.posterior.mean)

    def test_z_is_inferred_from_x_and_y_and_not_from_u(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        u = model.encode(hr, lr, seed=0)[0]
        _, (_, one) = self.passes(model, hr, lr, [u])
        _, (_, same) = self.passes(model, hr, lr, [u + 1])
        assert torch.equal(one.posterior.mean, same.posterior.mean)
        assert torch.equal(one.posterior.std, same.posterior.std)
        for images in ((other(model, hr), lr), (hr, lr.flip(-1))):
            _, (_, moved) = self.passes(model, *images, [u])
            assert not torch.equal(one.posterior.mean, moved.posterior.mean)

    def test_the_prior_of_z_is_given_y_and_u(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        u = model.encode(hr, lr, seed=0)[0]
        one, with_u, with_y, with_x = (
            self.passes(model, *images, [latent])[1][1].prior.mean
            for images, latent in (
                ((hr, lr), u),
                ((hr, lr), u + 1),
                ((hr, lr.flip(-1)), u),
                ((other(model, hr), lr), u),
            )
        )
        assert not torch.allclose(one, with_u, atol=1e-4)
        assert not torch.allclose(one, with_y, atol=1e-4)
        assert torch.equal(one, with_x)

    def test_x_is_given_y_and_z_and_not_u(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        u, z = model.encode(hr, lr, seed=0)
        one = model.decode([u, z], lr)
        assert torch.equal(one, model.decode([u + 1, z], lr))
        assert not torch.allclose(one, model.decode([u, z + 1], lr), atol=1e-4)
        assert not torch.allclose(one, model.decode([u, z], lr.flip(-1)), atol=1e-4)

    def test_y_is_given_u_alone(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        u, z = model.encode(hr, lr, seed=0)
        of_y = [
            self.passes(model, *images, latents)[0].of_lr.raw
            for images, latents in (
                ((hr, lr), [u, z]),
                ((other(model, hr), lr.flip(-1)), [u, z + 1]),
                ((hr, lr), [u + 1, z]),
            )
        ]
        assert torch.equal(of_y[0], of_y[1])
        assert not torch.allclose(of_y[0], of_y[2], atol=1e-4)


class TestBound:
    def test_bits_are_the_sum_of_both_images(self):
        """log p(y | u) and log p(x | y, z), of the same u, minus what u and z cost."""
        model, (hr, lr) = shaken(tiny_srvae(), 0.05), pair()
        torch.manual_seed(1)
        terms = model.loss(hr, lr)
        torch.manual_seed(1)
        with torch.no_grad():
            bound = model.elbo(hr, lr)
            of_x, of_y = bound.features, bound.features.of_lr
            assert of_y is not None
            nats = model.likelihood.log_prob(of_x.raw, of_x.base, 2 * hr - 1)
            nats += model.lr_prior.likelihood.log_prob(of_y.raw, of_y.base, 2 * lr - 1)
            u, z = bound.latents
            cost_of_u = u.posterior.log_prob(u.z) - u.prior.log_prob(u.z)
            cost_of_z = z.posterior.kl(z.prior)
        nats -= cost_of_u.sum(dim=(1, 2, 3)) + cost_of_z.sum(dim=(1, 2, 3))
        expected = bits_per_dim(-nats, hr).mean()
        assert float(terms["bits_per_dim"]) == pytest.approx(float(expected), rel=1e-5)
        assert float(terms["loss"].detach()) == pytest.approx(float(expected), rel=1e-5)

    def test_the_importance_weighted_bound_is_one_of_x_and_y_together(self):
        """On 2x2 images with two latent numbers, u and z, log p(x, y) is an integral of two."""
        model = toy()
        hr = random_images(1, 3, 2, 2)
        lr = model.degradation(hr)
        with torch.no_grad():
            for stage in (model, model.lr_prior):  # wide, so that draws reach the whole posterior
                stage.encoder[-1].last.bias[1:] += 2
        truth = integrated(model, hr, lr, latents=2, axis=torch.linspace(-9, 9, 181))
        check_bounds_near(truth, model, hr, lr, seeds=200, few=4)

    @pytest.mark.parametrize("prior_weight", [0.0, 1.0])
    def test_the_networks_of_u_run_once_a_step(self, prior_weight: float):
        model, (hr, lr) = tiny_srvae(), pair()
        calls: list[str] = []
        for name, part in model.lr_prior.named_children():
            part.register_forward_hook(lambda *_, name=name: calls.append(name))
        model.loss(hr, lr, prior_weight=prior_weight)
        assert [call for call in calls if call in ("encoder", "decoder")] == ["encoder", "decoder"]

    def test_the_term_at_temperature_zero_is_that_of_the_answer(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair(3)
        found = float(model.loss(hr, lr, prior_weight=1.0)["psnr_prior"])
        with torch.no_grad():
            error = (model(lr)[:2] - hr[:2]).square().mean()
        assert found == pytest.approx(float(-10 * error.log10()), abs=1e-3)

    def test_both_images_learn_from_one_loss(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        model.loss(hr, lr)["loss"].backward()
        for name, part in [*model.named_children(), *model.lr_prior.named_children()]:
            parameters = list(part.parameters())
            assert not parameters or any(p.grad.abs().sum() > 0 for p in parameters), name


class TestLatents:
    def test_u_comes_before_z(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        assert [tuple(z.shape[-2:]) for z in model.encode(hr, lr)] == [(3, 4), (6, 8)]
        assert model.groups == 2

    def test_upscaling_draws_u_given_y(self):
        model, (_, lr) = shaken(tiny_srvae()), pair()
        u = model.lr_prior.encode(lr, temperature=0.0)
        assert torch.allclose(model.upscale(lr), model.decode(u, lr, temperature=0.0), atol=1e-6)

    def test_sampling_hands_one_u_to_both_images(self):
        """x is what p(x | y, z) makes of the y and the z that this very u gave."""
        model, noise = shaken(tiny_srvae()), Noise(3)
        with torch.no_grad():
            features, u = model.lr_prior.top_down(None, None, LatentSource(noise, shape=(2, 4, 4)))
            y = quantise(model.lr_prior.mean(features))
        expected = model.decode([latent.z for latent in u], y, generator=noise.generator)
        assert torch.allclose(model.sample(2, size=(16, 16), seed=3), expected, atol=1e-6)

    def test_drawn_images_of_y_have_eight_bits_too(self):
        model = shaken(tiny_srvae())
        seen: list[Tensor] = []
        model.start.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        for decode in ("mean", "sample"):
            model.sample(2, size=(16, 16), seed=0, decode=decode)
        for y in seen:
            assert torch.allclose(y * 255, (y * 255).round(), atol=1e-4)
        assert not torch.equal(*seen)

    def test_it_has_its_own_p_of_y(self):
        with pytest.raises(ModelError, match="own"):
            tiny_srvae().with_lr_prior(tiny_hvae(scale=1, start="constant"))


class TestResolutions:
    """z and u may be coarser or finer than the images they stand between."""

    @pytest.mark.parametrize(
        ("scale", "changes", "shapes"),
        [
            (2, {"z_reduction": 4, "widths": [8, 6, 4], "blocks": [1, 0, 1]}, [(8, 8), (4, 4)]),
            (2, {"z_reduction": 1}, [(8, 8), (16, 16)]),
            (4, {"z_reduction": 8, "widths": [8, 6], "blocks": [1, 1]}, [(4, 4), (2, 2)]),
            (4, {"u_reduction": 2, "u_widths": [8, 6], "u_blocks": [1, 1]}, [(2, 2), (8, 8)]),
            (3, {"z_reduction": 9}, [(6, 6), (2, 2)]),
        ],
    )
    def test_they_fit_each_other(self, scale: int, changes: dict[str, Any], shapes: list[Any]):
        model = shaken(tiny_srvae(scale, **changes))
        hr = random_images(1, 3, 18 if scale == 3 else 16, 18 if scale == 3 else 16)
        assert model.degradation is not None
        lr = model.degradation(hr)
        latents = model.encode(hr, lr)
        assert [tuple(z.shape[-2:]) for z in latents] == shapes
        assert model.decode(latents, lr).shape == hr.shape
        assert model.sample(1, size=hr.shape[-2:]).shape == hr.shape
        odd = torch.rand(1, 3, 5, 7)
        assert model.upscale(odd).shape == (1, 3, 5 * scale, 7 * scale)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"z_reduction": 3},
            {"z_reduction": 1, "widths": [8, 8], "blocks": [1, 1]},
            {"u_reduction": 0},
            {"u_widths": [8, 8]},
            {"couplings": 65},
        ],
    )
    def test_others_are_refused(self, wrong: dict[str, Any]):
        with pytest.raises(ValueError, match=r"reduction|level|couplings"):
            tiny_srvae(**wrong)


def test_the_paper_scale_preset_has_the_papers_size():
    """Within 2 % as a whole, and within 20 % network by network: their cells are others."""
    with torch.device("meta"):
        model = SRVAE(**PRESETS["srvae-cifar10-paper"].arguments)
    of_y = model.lr_prior
    ours = {
        "p(u)": [of_y.prior],
        "q(u | y)": [of_y.encoder],
        "p(y | u)": [of_y.decoder, of_y.head],
        "q(z | x)": [model.encoder],
        "p(z | y, u)": [model.start, model.y_to_z, model.u_to_z, model.prior],
        "p(x | y, z)": [model.y_to_x, model.decoder, model.finish, model.head],
    }
    counts = {
        name: sum(parameter.numel() for part in parts for parameter in part.parameters())
        for name, parts in ours.items()
    }
    assert counts == pytest.approx(OFFICIAL, rel=0.2)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == sum(counts.values()) == pytest.approx(sum(OFFICIAL.values()), rel=0.02)


def test_latents_of_the_paper_scale_preset_are_the_papers():
    """16 x 8 x 8 numbers each, y of 16x16 and x of 32x32."""
    with torch.device("meta"):
        model = SRVAE(**PRESETS["srvae-cifar10-paper"].arguments)
        activations = model.bottom_up(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 16, 16))
    assert activations.of_lr is not None
    for raw in (activations.of_lr.levels[0], activations.levels[0]):
        assert raw.shape == (1, 2 * 16, 8, 8)


@pytest.mark.parametrize("version", [1, 2])
def test_weights_of_the_former_network_are_refused(version: int, tmp_path: Path):
    """Format 2 had an SRVAE whose x and q(z) saw u."""
    save_as_format(tiny_srvae(), tmp_path, version)
    with pytest.raises(ModelError, match=r"SRVAE before version 0\.2.*srvae-cifar10-x4"):
        hvae_sr.load(tmp_path)


def toy() -> SRVAE:
    tiny: dict[str, Any] = {"widths": [4], "blocks": [1], "latent": 1, "mixtures": 1}
    of_u = {"u_widths": [4], "u_blocks": [1], "u_reduction": 1, "couplings": 2}
    small = {"coupling_width": 4, "start_width": 4, "start_blocks": 1, "z_reduction": 2}
    model = shaken(SRVAE(scale=2, degradation="area", **tiny, **of_u, **small), 0.3)
    assert isinstance(model, SRVAE)
    return model
