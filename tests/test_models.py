"""The contract that every model keeps, on tiny models of each class."""

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import (
    GENERATIVE,
    TINY,
    Nearest,
    never_trained,
    objective,
    psnr,
    random_images,
    same_weights,
    shaken,
    smooth_images,
    tiny_cnn,
    tiny_hvae,
    tiny_lr_prior,
    tiny_study_vae,
    tiny_vae,
)
from PIL import Image
from torch import Tensor

import hvae_sr
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import ModelError
from hvae_sr.imaging.pixels import to_tensor
from hvae_sr.models import HVAE, VAE
from hvae_sr.models.registry import MODELS
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import enlarge, quantise
from hvae_sr.storage import client
from hvae_sr.training.recipes import PRESETS
from hvae_sr.upscaling import UpscaleOptions
from hvae_sr.upscaling.records import describe

SCALES = (2, 3, 4)
FROM_NOTHING = {"EDSR"}  # papers in which no interpolation stands beside the network


every = pytest.mark.parametrize("name", TINY)
generative = pytest.mark.parametrize("name", GENERATIVE)


def pair(scale: int = 4, n: int = 2) -> tuple[Tensor, Tensor]:
    hr = smooth_images(n, 3, 3 * scale, 5 * scale)
    return hr, get_degradation("gaussian", scale)(hr)


def noise_pair(scale: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise, which moves what smooth images leave at rest."""
    hr = random_images(2, 3, 4 * scale, 4 * scale, seed=seed)
    return hr, get_degradation("gaussian", scale)(hr)


@every
@pytest.mark.parametrize("scale", SCALES)
def test_forward_and_upscale_give_pictures_of_the_right_size(name: str, scale: int):
    model, (_, lr) = shaken(TINY[name](scale)), pair(scale)
    with torch.no_grad():
        forward = model(lr)
    assert forward.shape == (2, 3, 3 * scale, 5 * scale)
    assert torch.allclose(model.upscale(lr), forward.clamp(0, 1), atol=1e-6)


@every
@pytest.mark.parametrize("scale", SCALES)
def test_loss_is_scalars_and_trains_everything(name: str, scale: int):
    """A number whose gradient is exactly zero at every one of a few steps never learns."""
    model, (hr, lr) = TINY[name](scale), pair(scale)
    terms, players = model.loss(hr, lr), model.players()
    assert all(term.ndim == 0 and torch.isfinite(term) for term in terms.values())
    assert [key for key, term in terms.items() if term.requires_grad] == list(players)
    named = sorted(id(parameter) for player in players.values() for parameter in player)
    assert named == sorted(map(id, model.parameters())), "each parameter has one player"
    assert never_trained(model, [noise_pair(scale, seed) for seed in range(8)]) == []


def test_a_weight_that_never_learns_is_found():
    class Idle(Nearest):
        def __init__(self, scale: int = 2, degradation: str = "area"):
            super().__init__(scale, degradation)
            self.idle = torch.nn.Parameter(torch.ones(2))

        def forward(self, lr: Tensor) -> Tensor:
            return super().forward(lr) + self.anchor + 0 * self.idle[0] + self.idle[1]

    found = never_trained(Idle(), [noise_pair(2, seed) for seed in range(3)])
    assert found == ["idle: 1 of 2"]


@every
def test_each_term_reaches_its_own_player_alone(name: str):
    model, (hr, lr) = TINY[name](), pair()
    shaken(model)
    for term, player in model.players().items():
        model.zero_grad()
        model.loss(hr, lr)[term].backward()
        reached = {id(p) for p in model.parameters() if p.grad is not None and p.grad.any()}
        assert reached <= {id(parameter) for parameter in player}, term


@every
def test_bfloat16_gives_finite_losses_and_gradients_close_to_those_of_float32(name: str):
    losses = []
    for half in (False, True):
        torch.manual_seed(0)
        model, (hr, lr) = TINY[name](), pair()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = objective(model, hr, lr)
        loss.backward()
        assert loss.dtype == torch.float32
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        losses.append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=0.1, abs=1e-3)


@every
def test_a_few_steps_of_training_lower_the_loss(name: str):
    model, (hr, lr) = TINY[name](), pair()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = objective(model, hr, lr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("name", sorted(TINY.keys() - FROM_NOTHING))
def test_an_untrained_model_is_about_as_good_as_bicubic(name: str):
    model, (hr, lr) = TINY[name]().eval(), pair()
    classic = psnr(enlarge(lr, 4).clamp(0, 1), hr)
    assert psnr(model.upscale(lr), hr) == pytest.approx(classic, abs=1)


@every
def test_pillow_in_pillow_out(name: str):
    model = shaken(TINY[name]())
    image = Image.fromarray((random_images(1, 3, 4, 6)[0] * 255).byte().permute(1, 2, 0).numpy())
    larger = model.upscale(image)
    assert isinstance(larger, Image.Image)
    assert (larger.mode, larger.size) == ("RGB", (24, 16))
    assert torch.allclose(to_tensor(larger), quantise(model.upscale(to_tensor(image))))


@every
@pytest.mark.parametrize("scale", SCALES)
def test_consistent_answers_shrink_to_the_input(name: str, scale: int):
    model, (_, lr) = shaken(TINY[name](scale), 0.02), pair(scale)
    answer = model.upscale(lr, consistent=True)
    assert model.degradation is not None
    assert psnr(model.degradation(answer), lr) >= 45
    assert name in FROM_NOTHING or psnr(answer, model.upscale(lr)) > 15
    if name in GENERATIVE:
        several = model.upscale(lr, num_samples=3, seed=0, consistent=True)
        assert several.shape == (2, 3, 3, 3 * scale, 5 * scale)
        for index in range(3):
            assert psnr(model.degradation(several[:, index]), lr) >= 45


def test_consistency_survives_eight_bits():
    image = Image.fromarray((smooth_images(1, 3, 6, 6)[0] * 255).byte().permute(1, 2, 0).numpy())
    model = shaken(tiny_hvae(), 0.02)
    answer = model.upscale(image, consistent=True)
    assert model.degradation is not None
    assert psnr(model.degradation(to_tensor(answer)), to_tensor(image)) >= 45


@generative
class TestSamples:
    def model(self, name: str) -> Any:
        return shaken(GENERATIVE[name]())

    def test_how_many_answers_come_back(self, name: str):
        model, (_, lr) = self.model(name), pair()
        assert model.upscale(lr).shape == (2, 3, 12, 20)
        assert model.upscale(lr, num_samples=1).shape == (2, 1, 3, 12, 20)
        answers = model.upscale(lr, num_samples=16, seed=0)
        assert answers.shape == (2, 16, 3, 12, 20)
        assert len(answers.flatten(2).unique(dim=1)[0]) == 16
        image = Image.new("RGB", (3, 2), (10, 200, 30))
        assert isinstance(model.upscale(image, temperature=1.0, seed=0), Image.Image)
        several = model.upscale(image, num_samples=2, seed=0)
        assert [picture.size for picture in several] == [(12, 8), (12, 8)]

    def test_a_seed_names_the_answers(self, name: str):
        model, (_, lr) = self.model(name), pair()
        one, same, other = (model.upscale(lr, num_samples=2, seed=s) for s in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_a_generator_gives_the_seed(self, name: str):
        model, (_, lr) = self.model(name), pair()
        first, second = (torch.Generator().manual_seed(1) for _ in range(2))
        one, same = (model.upscale(lr, num_samples=2, generator=g) for g in (first, second))
        assert torch.equal(one, same)
        assert not torch.equal(one, model.upscale(lr, num_samples=2, generator=first))

    def test_seed_and_generator_exclude_each_other(self, name: str):
        with pytest.raises(ValueError, match="not both"):
            self.model(name).upscale(pair()[1], seed=1, generator=torch.Generator())

    def test_a_seed_leaves_the_global_generator_alone(self, name: str):
        model, (hr, lr) = self.model(name), pair()
        before = torch.get_rng_state()
        model.upscale(lr, num_samples=2, seed=1)
        model.upscale(lr)
        model.decode(model.encode(hr, lr, seed=1)[:1], lr, seed=2)
        assert torch.equal(torch.get_rng_state(), before)

    def test_one_answer_defaults_to_temperature_zero_and_several_to_less_than_one(self, name: str):
        model, (_, lr) = self.model(name), pair()
        assert torch.equal(model.upscale(lr), model.upscale(lr, temperature=0.0, seed=3))
        default = model.upscale(lr, num_samples=2, seed=3)
        assert torch.equal(default, model.upscale(lr, num_samples=2, temperature=0.8, seed=3))

    def test_temperature_zero_answers_are_all_the_same_and_in_order(self, name: str):
        model, (_, lr) = self.model(name), pair()
        answers = model.upscale(lr, num_samples=3, temperature=0.0)
        for index in range(3):
            assert torch.allclose(answers[:, index], model.upscale(lr), atol=1e-5)

    def test_spread_grows_with_temperature(self, name: str):
        model, (_, lr) = self.model(name), pair()
        spread = [
            float(model.upscale(lr, num_samples=8, temperature=t, seed=0).std(dim=1).mean())
            for t in (0.0, 0.4, 1.0)
        ]
        assert spread[0] < 1e-6 < spread[1] < spread[2]

    def test_arguments_out_of_range_are_refused(self, name: str):
        model, (_, lr) = self.model(name), pair()
        for wrong in ({"temperature": -0.1}, {"num_samples": 0}, {"num_samples": -1}):
            with pytest.raises(ValueError, match=r"temperature|num_samples"):
                model.upscale(lr, **wrong)


class TestStudyCnn:
    def test_a_list_of_one_is_its_one_answer(self):
        model, (_, lr) = tiny_cnn().eval(), pair()
        assert torch.equal(model.upscale(lr, num_samples=1)[:, 0], model.upscale(lr))

    @pytest.mark.parametrize("wrong", [{"num_samples": 2}, {"temperature": 0.5}])
    def test_has_one_answer_only(self, wrong: dict[str, Any]):
        with pytest.raises(ValueError, match="one answer"):
            tiny_cnn().upscale(pair()[1], **wrong)

    @pytest.mark.parametrize(("scale", "widths"), [(4, [8]), (4, [8, 8]), (4, [8, 8, 4]), (3, [8])])
    def test_levels_may_be_folded_into_the_last(self, scale: int, widths: list[int]):
        model = tiny_cnn(scale, widths=widths, blocks=[1] * len(widths))
        assert model(torch.rand(1, 3, 2, 3)).shape == (1, 3, 2 * scale, 3 * scale)

    def test_more_levels_than_upscaling_steps_are_refused(self):
        with pytest.raises(ValueError, match="level"):
            tiny_cnn(2, widths=[8, 8, 8], blocks=[1, 1, 1])


class TestArguments:
    @pytest.mark.parametrize("wrong", [{"scale": 5}, {"degradation": "blur"}])
    @every
    def test_unknown_choices_are_refused(self, name: str, wrong: dict[str, Any]):
        with pytest.raises(ValueError, match=r"scale|degradation"):
            TINY[name](**wrong)

    @pytest.mark.parametrize("maker", [tiny_cnn, tiny_vae, tiny_hvae])
    def test_unknown_cells_are_refused(self, maker: Any):
        with pytest.raises(ValueError, match="cell"):
            maker(cell="round")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"start": "middle"},
            {"likelihood": "poisson"},
            {"widths": [8], "groups": [1, 1]},
            {"widths": [], "groups": [], "blocks": []},
            {"widths": [8] * 4, "groups": [1] * 4, "blocks": [1] * 4},
        ],
    )
    def test_of_the_hierarchy(self, wrong: dict[str, Any]):
        with pytest.raises(ValueError, match=r"start|likelihood|level"):
            tiny_hvae(**wrong)

    def test_of_the_vae(self):
        for wrong in ({"prior": "flat"}, {"activation": "tanh"}, {"likelihood": "poisson"}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                tiny_vae(**wrong)

    @pytest.mark.parametrize(
        ("maker", "wrong"),
        [
            (tiny_vae, {"sigma": torch.tensor(0.5)}),
            (tiny_hvae, {"mixtures": torch.tensor(2)}),
            (tiny_cnn, {"widths": {8: 8}.values()}),
            (tiny_cnn, {"cell": Path("plain")}),
        ],
    )
    def test_what_json_cannot_hold_is_refused(self, maker: Any, wrong: dict[str, Any]):
        """The mixin would write the default into config.json and say nothing."""
        with pytest.raises(TypeError, match=next(iter(wrong))):
            maker(**wrong)

    @every
    def test_the_config_describes_the_model(self, name: str):
        model = TINY[name](3, degradation="area")
        config = json.loads(json.dumps(model.config))
        again = type(model)(**config)
        assert again.config == model.config
        assert (again.scale, again.degradation) == (3, get_degradation("area", 3))
        shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (model, again)]
        assert shapes[0] == shapes[1]

    def test_positional_arguments_reach_the_config(self):
        assert VAE(2, 8, 1).config == VAE(scale=2, width=8, blocks=1).config


class TestSizes:
    @pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4, 4), (1, 1, 4, 4), (1, 3, 0, 4)])
    @every
    def test_other_shapes_are_refused(self, name: str, shape: tuple[int, ...]):
        with pytest.raises(ValueError, match=r"\(N, 3, h, w\)"):
            TINY[name]().upscale(torch.zeros(shape))

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
    def test_integers_are_refused(self, dtype: torch.dtype):
        with pytest.raises(ValueError, match="divide by 255"):
            tiny_hvae().upscale(torch.zeros(1, 3, 4, 4, dtype=dtype))


class TestName:
    def test_a_fresh_model_is_called_by_its_class(self):
        assert (tiny_hvae().name, tiny_hvae().revision) == ("HVAE", None)

    def test_a_folder_gives_its_name_and_a_hash_of_its_weights(self, saved: Path):
        model = hvae_sr.load(saved)
        digest = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
        assert (model.name, model.revision) == ("model", digest[:12])
        assert "name" not in model.config and not any("name" in key for key in model.state_dict())
        tiny_hvae(latent=3).save_pretrained(saved)
        assert hvae_sr.load(saved).revision != model.revision

    def test_what_is_made_with_changed_weights_does_not_claim_their_revision(self, saved: Path):
        model = hvae_sr.load(saved)
        known = (model.name, model.revision)
        assert model.provenance() == model.half().provenance() == known
        fine = hvae_sr.load(saved)
        with torch.no_grad():
            next(fine.parameters()).add_(1e-3)
        assert fine.provenance() == ("model, changed", None)
        assert describe(fine, UpscaleOptions())["revision"] is None

    def test_a_repository_gives_its_commit(self, saved: Path, monkeypatch: pytest.MonkeyPatch):
        cache = saved.parent / "snapshots" / "0123abcd"
        saved.rename(cache.parent.mkdir() or cache)
        monkeypatch.setattr(client, "hf_hub_download", lambda _, name, **__: str(cache / name))
        model = hvae_sr.load("owner/name")
        assert (model.name, model.revision) == ("owner/name", "0123abcd")

    @pytest.mark.parametrize("name", list(hvae_sr.bundled())[:1])
    def test_a_bundled_model_has_the_name_it_is_loaded_by(self, name: str):
        assert hvae_sr.load(name).name == name


class TestLoss:
    """The terms of the objective are what their names say."""

    def terms(self, **weights: float) -> dict[str, float]:
        torch.manual_seed(1)
        hr, lr = pair()
        return {
            key: float(v.detach()) for key, v in shaken(tiny_hvae()).loss(hr, lr, **weights).items()
        }

    def test_bits_are_distortion_plus_rate(self):
        terms = self.terms()
        assert terms["bits_per_dim"] == pytest.approx(terms["distortion"] + terms["rate"], rel=1e-5)
        assert terms["loss"] == pytest.approx(terms["bits_per_dim"], rel=1e-5)

    def test_bits_are_those_of_the_bound(self):
        torch.manual_seed(1)
        model, (hr, lr) = shaken(tiny_hvae()), pair()
        with torch.no_grad():
            bound = model.elbo(hr, lr)
        expected = -float(bound.value.mean()) / (hr[0].numel() * math.log(2))
        assert self.terms()["bits_per_dim"] == pytest.approx(expected, rel=1e-5)

    def test_beta_weighs_the_rate(self):
        free, full = self.terms(beta=0.0), self.terms(beta=2.0)
        assert free["rate"] == full["rate"] > 0
        assert free["loss"] == pytest.approx(free["distortion"], rel=1e-5)
        assert full["loss"] == pytest.approx(full["distortion"] + 2 * full["rate"], rel=1e-5)

    def test_free_bits_are_a_floor_for_every_group(self):
        terms = self.terms(free_bits=1e3)
        assert terms["loss"] == pytest.approx(terms["distortion"] + 3 * 1e3, rel=1e-5)
        assert terms["rate"] < 1e3

    def test_mse_and_prior_terms(self):
        terms = self.terms(mse_weight=7.0, prior_weight=0.5)
        bits_of_error = -0.5 * terms["psnr_prior"] / 10 * math.log2(10)
        expected = terms["bits_per_dim"] + 7 * terms["mse"] + 0.5 * bits_of_error
        assert terms["loss"] == pytest.approx(expected, rel=1e-4)

    def test_the_prior_term_scores_the_picture_at_temperature_zero(self):
        model, (hr, lr) = shaken(tiny_hvae()), pair()
        found = float(model.loss(hr, lr, prior_weight=1.0)["psnr_prior"])
        with torch.no_grad():
            assert found == pytest.approx(psnr(model(lr)[:1], hr[:1]), abs=1e-3)


class TestSample:
    def joint(self) -> HVAE:
        return shaken(tiny_hvae()).with_lr_prior(shaken(tiny_lr_prior()))

    def test_images_from_nothing(self):
        model = self.joint()
        one, same, other = (model.sample(3, size=(16, 24), seed=s) for s in (1, 1, 2))
        assert one.shape == (3, 3, 16, 24)
        assert one.min() >= 0 and one.max() <= 1
        assert torch.equal(one, same) and not torch.equal(one, other)
        assert len(one.flatten(1).unique(dim=0)) == 3

    def test_it_upscales_what_the_lr_prior_drew(self):
        """With one generator: first y, rounded to 8 bits, then x given y."""
        model = self.joint()
        assert model.lr_prior is not None
        generator = torch.Generator().manual_seed(4)
        lr = quantise(model.lr_prior.sample(2, size=(4, 4), temperature=0.9, generator=generator))
        with torch.no_grad():
            expected = model.draw(lr, 1, 0.9, Noise(generator))[:, 0].clamp(0, 1)
        assert torch.equal(model.sample(2, size=(16, 16), temperature=0.9, seed=4), expected)

    def test_temperature_zero_and_temperatures_of_levels(self):
        model = self.joint()
        first, second = (model.sample(2, size=(16, 16), temperature=0.0, seed=s) for s in (1, 2))
        assert torch.equal(first, second)
        assert model.sample(1, size=(16, 16), temperature=[1.0, 0.5]).shape == (1, 3, 16, 16)
        with pytest.raises(ValueError, match="levels"):
            model.sample(1, size=(16, 16), temperature=[1.0, 0.5, 0.2])

    @pytest.mark.parametrize("size", [(15, 16), (16, 18)])
    def test_sizes_that_do_not_fit_are_refused(self, size: tuple[int, int]):
        for model in (self.joint(), tiny_study_vae(), tiny_lr_prior(groups=[1, 1, 1], **THREE)):
            with pytest.raises(ValueError, match="multiple"):
                model.sample(1, size=size)

    def test_a_conditional_model_alone_cannot(self):
        with pytest.raises(ModelError, match=r"p\(y\)"):
            tiny_hvae().sample(1)

    def test_an_lr_prior_must_model_lr_pictures(self):
        for wrong in (tiny_hvae(), tiny_study_vae(), tiny_hvae(2, start="constant")):
            with pytest.raises(ModelError, match="scale 1"):
                tiny_hvae().with_lr_prior(wrong)

    def test_joining_changes_neither_part(self):
        model, prior = shaken(tiny_hvae()), shaken(tiny_lr_prior())
        joint, lr = model.with_lr_prior(prior), pair()[1]
        assert joint.lr_prior is not None
        assert not joint.training
        assert same_weights(joint.lr_prior, prior)
        assert torch.equal(joint.upscale(lr), model.upscale(lr))
        assert joint.head[1].weight.data_ptr() == model.head[1].weight.data_ptr()
        assert model.lr_prior is None

    def test_joined_models_survive_the_disk(self, tmp_path: Path):
        joint = self.joint()
        joint.save_pretrained(tmp_path / "joint")
        loaded = hvae_sr.load(tmp_path / "joint")
        assert isinstance(loaded, HVAE)
        assert same_weights(loaded, joint)
        assert torch.equal(
            loaded.sample(2, size=(16, 16), seed=0), joint.sample(2, size=(16, 16), seed=0)
        )


THREE = {"widths": [8, 8, 8], "blocks": [1, 1, 1]}


class TestUnconditional:
    """Models that start from a constant see an image only through their encoder."""

    def test_the_study_samples_without_an_lr_picture(self):
        samples = shaken(tiny_study_vae()).sample(4, size=(12, 20), seed=0)
        assert samples.shape == (4, 3, 12, 20)
        assert samples.min() >= 0 and samples.max() <= 1

    @pytest.mark.parametrize("maker", [tiny_study_vae, tiny_vae, tiny_hvae])
    def test_upscaling_encodes_the_bicubic_enlargement(self, maker: Any):
        model, (_, lr) = shaken(maker(start="constant")), pair()
        expected = model.reconstruct(quantise(enlarge(lr, 4)), lr)
        assert torch.allclose(model.upscale(lr), expected, atol=1e-5)

    @pytest.mark.parametrize("maker", [tiny_study_vae, tiny_vae, tiny_hvae])
    def test_the_decoder_sees_the_latents_alone(self, maker: Any):
        """Else `sample`, which has no y to give, draws from another model than was trained."""
        model, (hr, lr) = shaken(maker(start="constant")), pair()
        latents = model.encode(hr, lr, seed=0)
        assert torch.allclose(model.decode(latents), model.decode(latents, lr), atol=1e-5)

    def test_a_model_of_lr_pictures_needs_none(self):
        model, hr = tiny_lr_prior(), smooth_images(2, 3, 8, 8)
        terms = model.loss(hr)
        terms["loss"].backward()
        assert all(p.grad is not None for p in model.parameters())
        assert model.degradation is None
        with pytest.raises(ValueError, match="LR"):
            model.upscale(hr)


def test_the_fixed_likelihood_ends_in_a_sigmoid_when_asked():
    picture = shaken(tiny_study_vae(), 0.5)(pair()[1])
    assert 0 <= picture.min() < 0.1 and 0.9 < picture.max() <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_describes_a_model(name: str):
    recipe = PRESETS[name]
    with torch.device("meta"):
        model = MODELS.get(recipe.model)(**recipe.arguments)
    assert sum(p.numel() for p in model.parameters()) > 1000
    assert set(recipe.arguments) <= set(model.config)
    assert recipe.shrink is None or model.degradation is None


def test_nothing_is_registered_twice():
    assert MODELS.get("HVAE") is HVAE
    assert MODELS.get("Nearest") is Nearest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_of_a_process_with_threads_upscales():
    code = """
import os, torch, hvae_sr
torch.set_num_threads(2)
model, lr = hvae_sr.load("photo-cnn-x4"), torch.rand(1, 3, 64, 64)
model.upscale(lr)
child = os.fork()
if not child:
    model.upscale(lr)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "7\n", done.stderr
