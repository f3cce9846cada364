"""Levels and interpolation: what the noise is, and that samples come out of it."""

from itertools import pairwise

import pytest
import torch
from conftest import (
    GENERATIVE,
    random_images,
    shaken,
    tiny_hvae,
    tiny_lr_prior,
    tiny_srvae,
    tiny_study_vae,
)
from torch import Tensor

from hvae_sr.errors import ModelError
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.traversal import ArcNoise, KeptNoise, Stage, interpolate, redraw, stages
from hvae_sr.nn.noise import Noise

ROUNDING = 1e-3  # of the mean: batches of other sizes may round a value of y the other way


class Recorded(Noise):
    """Notes how large each draw was."""

    def __init__(self) -> None:
        super().__init__(0)
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, like: Tensor) -> Tensor:
        self.sizes.append(tuple(like.shape[2:]))
        return super().__call__(like)


@pytest.fixture(scope="module")
def cascade() -> GenerativeModel:
    """p(y) with three latents, 4x4, 8x8 and 8x8, then p(x | y) with three, 8x8 and 16x16 twice."""
    prior = shaken(tiny_lr_prior(), 0.1)
    model = shaken(tiny_hvae(), 0.1)
    assert isinstance(model, GenerativeModel)
    assert isinstance(prior, GenerativeModel)
    return model.with_lr_prior(prior)


def test_every_point_of_the_arc_is_standard_normal() -> None:
    draws = ArcNoise(1, 2, [0, 0.25, 0.5, 1])(torch.empty(4, 8, 64, 64)).flatten(1)
    assert draws.mean(dim=1).abs().max() < 0.02
    assert draws.var(dim=1).sub(1).abs().max() < 0.03
    # cosines of 0, 22.5, 45 and 90 degrees
    correlation = draws.corrcoef()[0]
    expected = torch.tensor([0, 22.5, 45, 90]).deg2rad().cos()
    assert torch.allclose(correlation, expected, atol=0.02)


def test_arc_starts_and_ends_at_the_draws_of_the_samples() -> None:
    noise, start, end = ArcNoise(1, 2, [0, 1]), Noise(1), Noise(2)
    for shape in [(8, 2, 2), (8, 4, 4)]:
        first, last = noise(torch.empty(2, *shape))
        assert torch.equal(first, start(torch.empty(1, *shape))[0])
        assert torch.allclose(last, end(torch.empty(1, *shape))[0], atol=1e-12)


def test_interpolation_joins_the_two_samples(cascade: GenerativeModel) -> None:
    strip = interpolate(cascade, 3, 4, steps=5)
    assert strip.shape == (5, 3, 32, 32)
    for picture, seed in [(strip[:1], 3), (strip[-1:], 4)]:
        assert (picture - cascade.sample(1, seed=seed)).abs().mean() < ROUNDING
    assert all(not torch.equal(a, b) for a, b in pairwise(strip))


def test_interpolation_refuses_what_has_no_way_between() -> None:
    with pytest.raises(ValueError, match="different seeds"):
        interpolate(tiny_study_vae(), 3, 3, steps=5)
    with pytest.raises(ValueError, match="steps must be from 2"):
        interpolate(tiny_study_vae(), 3, 4, steps=1)


def test_kept_draws_are_those_of_the_sample_and_the_rest_is_fresh() -> None:
    like = torch.empty(3, 4, 32, 32)
    sample, noise, all_fresh = Noise(5), KeptNoise(5, 1), KeptNoise(5, 0)
    first, second = sample(like[:1]), sample(like[:1])
    assert torch.equal(noise(like), first.expand_as(like))
    then = noise(like)
    assert torch.equal(then[:1], second)
    started = all_fresh(like)
    assert torch.equal(started[:1], first)
    assert torch.equal(all_fresh(like), then)  # keeping less changes nothing that comes later
    every = torch.cat([started, then]).flatten(1)
    assert every.var(dim=1).sub(1).abs().max() < 0.1
    assert (every.corrcoef() - torch.eye(6)).abs().max() < 0.1


def test_stages_count_the_draws_of_both_models(cascade: GenerativeModel) -> None:
    assert stages(cascade) == [
        Stage(0, "nothing"),
        Stage(1, "y down to its 4x4 latents"),
        Stage(3, "y"),
        Stage(4, "y, and x down to its 8x8 latents"),
    ]
    noise = Recorded()
    cascade.sample(1, noise=noise)
    assert noise.sizes == [(4, 4), (8, 8), (8, 8), (8, 8), (16, 16), (16, 16)]


def test_stages_of_a_given_picture(cascade: GenerativeModel) -> None:
    assert stages(cascade, (24, 40), given=True) == [
        Stage(0, "nothing"),
        Stage(1, "x down to its 10x6 latents"),
    ]


def test_stages_skip_levels_without_latents() -> None:
    model = tiny_lr_prior(widths=[8, 8, 8], groups=[1, 0, 2], blocks=[1, 1, 1])
    assert [stage.draws for stage in stages(model, (8, 8))] == [0, 1]


def test_sample_comes_first_and_others_come_closer(cascade: GenerativeModel) -> None:
    sample = cascade.sample(1, seed=7)
    spreads = []
    for _, pictures in redraw(cascade, 7, others=3):
        assert pictures.shape == (4, 3, 32, 32)
        assert (pictures[:1] - sample).abs().mean() < ROUNDING
        spreads.append(float(pictures[1:].var(dim=0).mean()))
    assert len(spreads) == len(stages(cascade))
    assert all(coarse > fine > 0 for coarse, fine in pairwise(spreads))


def test_kept_y_is_the_same_y(cascade: GenerativeModel) -> None:
    seen: list[Tensor] = []
    watch = cascade.start.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    list(redraw(cascade, 7, others=2))
    watch.remove()
    same = [torch.equal(y, y[:1].expand_as(y)) for y in seen]
    assert same == [False, False, True, True]


def test_levels_of_a_given_picture(cascade: GenerativeModel) -> None:
    lr = random_images(1, 3, 6, 10)
    expected = cascade.draw(lr, 1, 1.0, Noise(7))[0].clamp(0, 1)
    rows = list(redraw(cascade, 7, others=2, lr=lr))
    assert [pictures.shape for _, pictures in rows] == [(3, 3, 24, 40)] * 2
    for _, pictures in rows:
        assert (pictures[:1] - expected).abs().mean() < ROUNDING
        assert not torch.equal(pictures[1], pictures[2])


def test_srvae_describes_a_given_picture_by_latents_too() -> None:
    model = shaken(tiny_srvae(u_reduction=2))
    assert isinstance(model, GenerativeModel)
    rows = list(redraw(model, 7, others=2, lr=random_images(1, 3, 5, 7)))
    assert [stage for stage, _ in rows] == [Stage(0, "nothing"), Stage(1, "the latents of y")]
    assert [pictures.shape for _, pictures in rows] == [(3, 3, 20, 28)] * 2
    assert stages(model) == [Stage(0, "nothing"), Stage(1, "y")]


@pytest.mark.parametrize("name", sorted(GENERATIVE))
def test_every_model_makes_the_draws_that_stages_count(name: str) -> None:
    model = GENERATIVE[name]()
    if model.lr_prior is None:
        model = model.with_lr_prior(tiny_lr_prior())
    noise = Recorded()
    model.sample(1, noise=noise)
    own = [level.groups for level in model.levels if level.groups]
    assert len(noise.sizes) == stages(model)[-1].draws + own[-1]


def test_models_that_cannot_are_refused() -> None:
    with pytest.raises(ModelError, match="no p\\(y\\)"):
        next(redraw(tiny_hvae(), 7, others=2))
    with pytest.raises(ValueError, match="leave the LR image out"):
        next(redraw(tiny_study_vae(), 7, others=2, lr=random_images(1, 3, 6, 10)))
