"""BIVA: what the paper claims of its latents, asked of the model as any user can."""

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import (
    check_bounds_near,
    integrated,
    never_trained,
    pair,
    random_images,
    save_as_format,
    shaken,
    tiny_biva,
)
from torch import Tensor

import hvae_sr
from hvae_sr.errors import ModelError
from hvae_sr.models import BIVA
from hvae_sr.nn.gated import GatedBlock, GatedStack
from hvae_sr.nn.latents import LatentSample, LatentSource
from hvae_sr.nn.layers import CellKind, square
from hvae_sr.nn.noise import Noise
from hvae_sr.training.recipes import PRESETS

# Latents of `deep()`, coarse to fine: one at LR resolution, then three groups of two.
Z_L, GROUPS = 0, [(1, 2), (3, 4), (5, 6)]
ALL = range(7)


def deep(**changes: object) -> BIVA:
    """z_L and a group at LR resolution, two groups above."""
    model = shaken(tiny_biva(groups=[2, 2], **changes))
    assert isinstance(model, BIVA)
    return model


def given_pass(
    model: BIVA, z: list[Tensor], lr: Tensor, hr: Tensor | None = None
) -> list[LatentSample]:
    """Every latent is given: what the prior, and the posterior if there is an x, say of them."""
    with torch.no_grad():
        activations = model.bottom_up(hr, lr) if hr is not None else None
        return model.top_down(lr, activations, LatentSource(given=z))[1]


def moved(z: list[Tensor], index: int) -> list[Tensor]:
    """The same latents but for one."""
    return [value + 1 if index == i else value for i, value in enumerate(z)]


def which_differ(one: list[LatentSample], other: list[LatentSample], part: str) -> set[int]:
    """The latents whose `prior` or `posterior` is another one."""
    pairs = [(getattr(a, part), getattr(b, part)) for a, b in zip(one, other, strict=True)]
    return {
        index
        for index, (a, b) in enumerate(pairs)
        if not (torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std))
    }


@pytest.fixture(scope="module")
def model() -> BIVA:
    torch.manual_seed(0)
    return deep()


@pytest.fixture(scope="module")
def z(model: BIVA) -> list[Tensor]:
    hr, lr = pair()
    return model.encode(hr, lr, seed=0)


class TestPrior:
    def test_latents_of_a_group_are_independent_given_those_above(self, model, z):
        """p(z_i^BU | z_>i) p(z_i^TD | z_>i): neither sees the other, both see all above."""
        _, lr = pair()
        before = given_pass(model, z, lr)
        for first, second in GROUPS:
            below = {latent for latent in ALL if latent > second}
            for one in (first, second):
                assert which_differ(before, given_pass(model, moved(z, one), lr), "prior") == below
        changed = given_pass(model, moved(z, Z_L), lr)
        assert which_differ(before, changed, "prior") == set(ALL) - {Z_L}

    def test_the_topmost_is_a_standard_normal_whatever_y_is_and_the_others_hear_y(self, model, z):
        """Which pins the scale of z_L: under a prior that learns it, samples fell apart."""
        _, lr = pair()
        latents = given_pass(model, z, lr)
        changed = given_pass(model, z, lr.flip(-1))
        assert which_differ(latents, changed, "prior") == set(ALL) - {Z_L}
        prior = latents[Z_L].prior
        assert torch.equal(prior.mean, torch.zeros_like(prior.mean))
        assert torch.equal(prior.std, torch.ones_like(prior.std))

    def test_every_latent_reaches_the_image_past_those_below_it(self, model, z):
        _, lr = pair()
        image = model.decode(z, lr)
        for index in ALL:
            assert not torch.allclose(image, model.decode(moved(z, index), lr), atol=1e-4), index

    def test_y_reaches_the_image_past_all_latents(self, model, z):
        """By the features of y, not only by the base image."""
        _, lr = pair()
        with torch.no_grad():
            states = [
                model.top_down(y, None, LatentSource(given=z))[0].state for y in (lr, lr.flip(-1))
            ]
        assert not torch.allclose(*states, atol=1e-4)

    def test_an_old_draw_does_not_reach_what_is_above(self, model, z):
        _, lr = pair()
        before = given_pass(model, z, lr)
        assert which_differ(before, given_pass(model, moved(z, 6), lr), "prior") == set()


class TestPosterior:
    def test_each_hears_what_the_paper_says(self, model, z):
        """q(z_i^BU | x, z_<i^BU), q(z_L | x, z_<L^BU), q(z_i^TD | x, z_<i^BU, z_>i)."""
        hr, lr = pair()
        before = given_pass(model, z, lr, hr)
        groups = {latent: place for place, group in enumerate(GROUPS) for latent in group}
        rising = [first for first, _ in GROUPS]
        for index in ALL:
            above = {latent for latent in ALL if groups.get(latent, -1) < groups.get(index, -1)}
            below = {latent for latent in ALL if groups.get(latent, -1) > groups.get(index, -1)}
            expected = below - set(rising)  # the z^TD of finer groups
            if index in rising:
                expected |= above  # everything at coarser groups
            found = which_differ(before, given_pass(model, moved(z, index), lr, hr), "posterior")
            assert found == expected, index

    def test_a_path_without_draws_rises_from_x(self, model, z):
        """With all z^BU as they were, another image still changes every posterior above."""
        hr, lr = pair()
        other = hr.clone()
        other[..., :6, :] = other[..., :6, :].flip(-1)
        before, after = given_pass(model, z, lr, hr), given_pass(model, z, lr, other)
        assert which_differ(before, after, "posterior") == set(ALL)

    def test_that_of_the_way_up_is_compared_with_the_prior_of_the_way_down(self, model):
        hr, lr = pair()
        with torch.no_grad():
            bound = model.elbo(hr, lr, Noise(0))
        for latent in bound.latents:
            assert latent.posterior is not None
            kl = latent.posterior.kl(latent.prior).sum(dim=(1, 2, 3))
            assert torch.allclose(latent.kl, kl)
        weight = -bound.distortion
        for latent in bound.latents:
            ratio = latent.prior.log_prob(latent.z) - latent.posterior.log_prob(latent.z)
            weight = weight + ratio.sum(dim=(1, 2, 3))
        assert torch.allclose(bound.log_importance_weight, weight, rtol=1e-5)

    def test_every_draw_of_a_pass_takes_a_way_up_of_its_own(self, model):
        hr, lr = pair()
        activations = model.bottom_up(hr, lr)
        with torch.no_grad():
            source = LatentSource(Noise(0), num_samples=3)
            _, latents = model.top_down(lr, activations, source)
        assert [len(latent.z) for latent in latents] == [6] * 7
        of_rising = [latents[first] for first, _ in GROUPS]
        for one, other in itertools.combinations(range(3), 2):  # of the first image
            finest = of_rising[-1]
            assert torch.equal(finest.posterior.mean[one], finest.posterior.mean[other])
            for latent in of_rising[:-1]:
                assert not torch.equal(latent.posterior.mean[one], latent.posterior.mean[other])
            assert all(not torch.equal(latent.z[one], latent.z[other]) for latent in of_rising)

    def test_draws_share_what_is_known_of_x_without_them(self, model):
        hr, lr = pair()
        calls: list[int] = []
        hook = model.stem.register_forward_hook(lambda *_: calls.append(1))
        with torch.no_grad():
            one, other = model.elbos(hr, lr, Noise(0), draws=2)
        hook.remove()
        assert calls == [1]
        assert not torch.equal(one.latents[1].z, other.latents[1].z)


class TestOrder:
    def test_noise_is_drawn_on_the_way_up_then_on_the_way_down(self):
        model = tiny_biva(groups=[2, 1], latent=[2, 3, 4])
        hr, lr = pair()
        asked: list[tuple[int, ...]] = []

        class Recorded(Noise):
            def __call__(self, like: Tensor) -> Tensor:
                asked.append(tuple(like.shape[1:]))
                return super().__call__(like)

        model.elbo(hr, lr, Recorded(0))
        top, coarse, fine = (2, 3, 4), (3, 3, 4), (4, 6, 8)
        assert asked == [fine, coarse, top, coarse, fine]
        asked.clear()
        model.draw(lr, 1, 1.0, Recorded(0))
        assert asked == [top, coarse, coarse, fine, fine]

    def test_given_latents_rise(self, model, z):
        """Latents that were drawn have, given again, the densities that they were drawn of."""
        hr, lr = pair()
        with torch.no_grad():
            drawn = model.elbo(hr, lr, Noise(0)).latents
        again = given_pass(model, [latent.z for latent in drawn], lr, hr)
        for part in ("prior", "posterior"):
            assert which_differ(drawn, again, part) == set()
        some = given_pass(model, [latent.z for latent in drawn[:2]], lr, hr)
        assert torch.equal(some[0].z, drawn[0].z) and torch.equal(some[1].z, drawn[1].z)

    def test_decoding_what_was_encoded_gives_the_mean_of_the_bound(self, model):
        hr, lr = pair()
        latents = model.encode(hr, lr, seed=3)
        with torch.no_grad():
            bound = model.elbo(hr, lr, Noise(3))
        assert all(torch.equal(a, b.z) for a, b in zip(latents, bound.latents, strict=True))
        mean = model.mean(bound.features).clamp(0, 1)
        assert torch.allclose(model.decode(latents, lr), mean, atol=1e-6)

    def test_the_first_latents_are_kept_and_the_rest_drawn(self, model, z):
        _, lr = pair()
        one, other = (model.decode(z[:3], lr, seed=seed) for seed in (0, 1))
        assert not torch.equal(one, other)
        assert torch.equal(one, model.decode(z[:3], lr, seed=0))


class TestBound:
    def test_the_importance_weighted_one_nears_the_integral(self):
        """On 2x2 images with z_L, z_1^BU and z_1^TD of one number, log p(x | y) is an integral."""
        tiny = {"widths": [4], "groups": [2], "blocks": [1], "latent": 1, "mixtures": 1}
        model = shaken(BIVA(scale=2, start_blocks=1, degradation="area", **tiny), 0.3)
        hr = random_images(1, 3, 2, 2)
        lr = model.degradation(hr)
        with torch.no_grad():
            for part in (model.ascents[0], *model.descents):  # wide: they reach all that counts
                part.posterior.last.bias[1:] += 4
        truth = integrated(model, hr, lr, latents=3, axis=torch.linspace(-8, 8, 65))
        check_bounds_near(truth, model, hr, lr, seeds=200, few=4)

    def test_both_kinds_are_used_in_every_group(self):
        hr, model = random_images(8, 3, 16, 16), tiny_biva(groups=[2, 1])
        assert model.degradation is not None
        lr = model.degradation(hr)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(80):
            loss = model.loss(hr, lr, beta=0.01 + 0.99 * min(1.0, step / 40))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            rates = [float(rate.mean()) for rate in model.elbo(hr, lr, Noise(0)).rates]
        assert min(rates) > 0.1, rates

    @pytest.mark.parametrize("groups", [[1, 2, 0], [2, 0, 1], [1, 1, 1]])
    @pytest.mark.parametrize("blocks", [[1, 1, 1], [3, 1, 2], [1, 3, 2]])
    def test_without_a_y_every_weight_learns_too(self, groups: list[int], blocks: list[int]):
        """Levels without latents and other numbers of blocks leave nothing idle."""
        changes = {"widths": [6, 5, 4], "groups": groups, "blocks": blocks, "stem": 2}
        model = tiny_biva(scale=1, start="constant", **changes)
        batches = [(random_images(2, 3, 16, 16, seed=seed), None) for seed in range(8)]
        assert never_trained(model, batches) == []
        terms = model.loss(batches[0][0])
        assert all(torch.isfinite(term) for term in terms.values())
        assert len(model.encode(batches[0][0])) == 2 * sum(groups) - 1 == model.groups
        assert model.sample(2, size=(16, 24), seed=0).shape == (2, 3, 16, 24)


class TestParts:
    def test_a_block_is_gated(self):
        kind, x, skip = (
            CellKind("plain", "elu", 2),
            torch.randn(1, 6, 4, 5),
            torch.randn(1, 3, 4, 5),
        )
        block = GatedBlock(kind, 6, 3, skip=3)
        inner = block.first(F.elu(x)) + block.skip(F.elu(skip))
        value, gate = block.second(F.elu(inner)).split(6, dim=1)
        assert torch.allclose(block(x, skip), x + value / (1 + torch.exp(-gate)), atol=1e-6)
        assert inner.shape[1] == 3

    def test_a_draw_is_neither_added_nor_activated(self):
        block = GatedBlock(CellKind("plain", "relu"), 6, 3, latent=6)
        block.first.bias.data -= 0.1
        below_zero = -torch.rand(1, 6, 4, 4)
        assert not torch.allclose(block(below_zero), block(2 * below_zero))
        torch.nn.init.zeros_(block.second.weight)
        assert torch.equal(block(below_zero), torch.zeros(1, 6, 4, 4))

    def test_blocks_are_paired_with_those_above_from_the_last_on(self):
        stack = GatedStack(CellKind("plain", "elu"), 4, 1, 3, 1.0, skip=4)
        x = torch.zeros(1, 4, 1, 1)
        seen: list[list[Tensor]] = []
        for block in stack.blocks:
            block.register_forward_hook(lambda _, inputs, __: seen[-1].append(inputs[1]))
        above = [torch.full((1, 4, 1, 1), float(value)) for value in range(4)]
        for count, partners in ((1, [0, 0, 0]), (2, [0, 0, 1]), (3, [0, 1, 2]), (4, [1, 2, 3])):
            seen.append([])
            stack(x, above[:count])
            assert [float(skip[0, 0, 0, 0]) for skip in seen[-1]] == partners

    @pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 16])
    def test_kernels_of_any_size_keep_the_size(self, kernel: int):
        """Even ones reach further down and to the right by one, borders are repeated."""
        conv, x = square(2, 3, kernel), torch.randn(1, 2, 5, 7)
        before, after = (kernel - 1) // 2, kernel // 2
        padded = F.pad(x, (before, after, before, after), mode="replicate")
        expected = F.conv2d(padded, conv.weight, conv.bias)
        assert torch.allclose(conv(x), expected, atol=1e-5)


class TestConfig:
    def test_the_paper_scale_preset_has_as_many_parameters_as_the_authors_network(self):
        """102,948,560: `get_deep_vae_cifar` of github.com/vlievin/biva-pytorch, built and counted.

        Joining levels by 1x1 convolutions instead of strides, and weights without gains, nearly
        make up for each other.
        """
        recipe = PRESETS["biva-cifar10-paper"]
        with torch.device("meta"):
            model = BIVA(**recipe.arguments)
        count = sum(parameter.numel() for parameter in model.parameters())
        assert count == pytest.approx(102_948_560, rel=1e-3)
        assert model.groups == 29  # 14 groups of two, and z_15

    def test_the_cifar_presets_are_small(self):
        for name in ("biva-cifar10-x4", "biva-cifar10"):
            with torch.device("meta"):
                model = BIVA(**PRESETS[name].arguments)
            assert 250_000 < sum(p.numel() for p in model.parameters()) < 600_000

    def test_latents_may_have_other_widths_in_each_group(self):
        model = tiny_biva(groups=[1, 2], latent=[1, 2, 3])
        assert [z.shape[1] for z in model.encode(*pair())] == [1, 2, 2, 3, 3]

    @pytest.mark.parametrize(
        ("wrong", "word"),
        [
            ({"groups": [0, 2]}, "group"),
            ({"blocks": [1, 0]}, "block"),
            ({"latent": [1, 2]}, "latent"),
            ({"latent": 0}, "latent"),
            ({"kernels": [3]}, "kernels"),
            ({"latent_kernels": [3, 0]}, "kernels"),
            ({"activation": "tanh"}, "activation"),
            ({"bottleneck": 0}, "bottleneck"),
            ({"start": "middle"}, "start"),
            ({"widths": [8]}, "level"),
        ],
    )
    def test_what_makes_no_hierarchy_is_refused(self, wrong: dict[str, object], word: str):
        with pytest.raises(ValueError, match=word):
            tiny_biva(**wrong)

    @pytest.mark.parametrize("version", [1, 2])
    def test_weights_of_the_former_network_are_refused(self, version: int, tmp_path: Path):
        """Format 2 had a BIVA whose z^TD saw the z^BU of its own level."""
        save_as_format(tiny_biva(), tmp_path, version)
        with pytest.raises(ModelError, match=r"BIVA before version 0\.2.*biva-cifar10-x4"):
            hvae_sr.load(tmp_path)
