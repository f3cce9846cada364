"""SRGAN's claims, and the two players' gradients against the textbook's two separate problems."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from conftest import (
    random_pictures,
    same_weights,
    shaken,
    smooth_pictures,
    tiny_srgan,
    tiny_srresnet,
    tiny_vae,
)
from torch import Tensor, nn

import hvae_sr
from hvae_sr.data import DeadLeaves
from hvae_sr.degradations import get_degradation
from hvae_sr.evaluation.ablation import shown
from hvae_sr.evaluation.family import TASK
from hvae_sr.models import SRGAN, VAE
from hvae_sr.nn.discriminator import Adversary, Discriminator
from hvae_sr.training.loop import Options, Trainer
from hvae_sr.training.recipes import PRESETS, Recipe


def pair(scale: int = 4) -> tuple[Tensor, Tensor]:
    hr = smooth_pictures(3, 3, 3 * scale, 5 * scale)
    return hr, get_degradation("gaussian", scale)(hr)


def gradients(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, parameters, retain_graph=True))


def close(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(ours, theirs, strict=True)
    )


def cross_entropy(adversary: Adversary, picture: Tensor, real: bool) -> Tensor:
    logits = adversary.discriminator(picture)
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def high_frequencies(picture: Tensor) -> float:
    """Energy of the luma beyond what an LR picture at x4 can hold."""
    spectrum = torch.fft.fft2(picture.mean(dim=1)).abs().square()
    rows, columns = (torch.fft.fftfreq(size).abs() for size in picture.shape[-2:])
    return float(spectrum[:, torch.maximum(rows[:, None], columns[None]) > 1 / 8].sum())


class TestAdversary:
    """`Adversary` on the decoder of a VAE, as on any picture that a gradient flows through."""

    @pytest.fixture
    def players(self) -> tuple[VAE, Adversary, Tensor, Tensor]:
        hr, lr = pair()
        model = tiny_vae()
        shaken(model)
        return model, Adversary(4), hr, model.mean(model.elbo(hr, lr).features)

    def test_the_sum_gives_each_player_the_gradient_of_its_own_problem(self, players: Any):
        model, adversary, hr, mean = players
        decoder, critic = list(model.head.parameters()), list(adversary.parameters())
        fooled = cross_entropy(adversary, mean, real=True)
        told = cross_entropy(adversary, hr, real=True) + cross_entropy(adversary, mean, real=False)
        terms = adversary(mean, hr)
        ours = gradients(terms.generator + terms.discriminator, decoder + critic)
        assert close(ours, gradients(fooled, decoder) + gradients(told, critic))
        assert all(gradient.abs().sum() > 0 for gradient in ours)

    def test_the_encoder_learns_too(self, players: Any):
        model, adversary, hr, mean = players
        adversary(mean, hr).generator.backward()
        assert all(parameter.grad is not None for parameter in model.encoder.parameters())

    def test_neither_term_reaches_the_other_player(self, players: Any):
        _, adversary, hr, mean = players
        picture = mean.detach().requires_grad_()
        terms = adversary(picture, hr)
        terms.generator.backward()
        assert all(parameter.grad is None for parameter in adversary.parameters())
        assert picture.grad is not None
        picture.grad = None
        terms.discriminator.backward()
        assert picture.grad is None

    def test_probabilities_are_those_of_the_discriminator(self, players: Any):
        _, adversary, hr, mean = players
        terms = adversary(mean, hr)
        for ours, picture in ((terms.real, hr), (terms.fake, mean)):
            assert torch.allclose(ours, adversary.discriminator(picture).sigmoid().mean())

    @pytest.mark.parametrize("size", [(1, 1), (9, 15), (32, 32)])
    def test_judges_pictures_of_any_size(self, size: tuple[int, int]):
        logits = Discriminator(4)(torch.rand(2, 3, *size))
        assert logits.shape == (2, 1, -(-size[0] // 4), -(-size[1] // 4))

    def test_terms_are_float32_under_autocast(self):
        hr = random_pictures(2, 3, 8, 8)
        with torch.autocast("cpu", torch.bfloat16):
            terms = Adversary(4)(hr, hr)
        assert terms.generator.dtype == terms.discriminator.dtype == torch.float32


def preset(name: str, **changes: Any) -> Recipe:
    """A preset with a tiny model and a small batch."""
    tiny = {"SRResNet": tiny_srresnet, "SRGAN": tiny_srgan}[PRESETS[name].model]()
    small = {"arguments": tiny.config, "batch_size": 4, "validation": 4, "init": None}
    return replace(PRESETS[name], **{**small, **changes})


@pytest.fixture
def any_precision() -> Iterator[None]:
    """accelerate keeps the first precision of a process: forget it, before and after."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def trained(out: Path, recipe: Recipe, precision: str = "no") -> Trainer:
    run = Trainer(recipe, DeadLeaves(32), Options(out, precision=precision), "pytest")
    run.run()
    return run


class TestSrgan:
    def test_without_an_adversary_the_generator_learns_as_an_srresnet(self):
        hr, lr = pair()
        twin, model = tiny_srresnet(), tiny_srgan(adversarial_weight=0.0)
        model.load_state_dict(twin.state_dict(), strict=False)
        for network in (twin, model):
            network.loss(hr, lr)["loss"].backward()
        learnt = dict(model.named_parameters())
        for name, parameter in twin.named_parameters():
            assert torch.equal(parameter.grad, learnt[name].grad), name
        assert torch.equal(twin.upscale(lr), model.upscale(lr))

    def test_the_adversary_changes_what_the_generator_learns(self):
        hr, lr = pair()
        model = tiny_srgan(adversarial_weight=0.5)
        terms = model.loss(hr, lr)
        picture = model(lr)
        content, players = F.mse_loss(picture, hr), model.adversary(picture, hr)
        generator = list(model.reconstruct.parameters())
        theirs = gradients(content + 0.5 * players.generator, generator)
        assert close(gradients(terms["loss"], generator), theirs)
        assert not close(theirs, gradients(content, generator))

    def test_a_saved_model_keeps_its_opponent(self, tmp_path: Path):
        model = tiny_srgan()
        model.save_pretrained(tmp_path)
        loaded = hvae_sr.load(tmp_path)
        assert isinstance(loaded, SRGAN)
        assert same_weights(loaded, model)

    def test_is_sharper_than_its_twin_and_its_players_keep_their_balance(self):
        """On noise, whose best guess is flat."""
        shrink = get_degradation("gaussian", 4)
        twin, model = tiny_srresnet(), tiny_srgan(adversarial_weight=0.02, discriminator=8)
        model.load_state_dict(twin.state_dict(), strict=False)
        played: list[dict[str, Tensor]] = []
        for network in (twin, model):
            optimizer = torch.optim.AdamW(network.parameters(), 2e-3, (0.9, 0.99))
            for step in range(100):
                hr = random_pictures(4, 3, 16, 16, seed=step)
                played.append(network.loss(hr, shrink(hr)))
                optimizer.zero_grad()
                played[-1]["loss"].backward()
                optimizer.step()
        hr = random_pictures(8, 3, 16, 16, seed=-1)
        there = high_frequencies(hr)
        flat, sharp = (high_frequencies(net.upscale(shrink(hr))) / there for net in (twin, model))
        assert abs(1 - sharp) < abs(1 - flat) - 0.1
        real, fake = (float(sum(t[key] for t in played[-50:])) / 50 for key in ("real", "fake"))
        assert 0.05 < fake < 0.5 < real < 0.95

    def test_starts_from_a_trained_srresnet(self, tmp_path: Path):
        twin = shaken(tiny_srresnet())
        twin.save_pretrained(tmp_path / "twin")
        recipe = preset("srgan-cifar10-x4", init=str(tmp_path / "twin"))
        model = Trainer(recipe, DeadLeaves(32), Options(tmp_path / "run"), "pytest").model
        _, lr = pair()
        assert torch.equal(model.eval()(lr), twin(lr))

    @pytest.mark.usefixtures("any_precision")
    @pytest.mark.parametrize("name", ["srresnet-cifar10-x4", "srgan-cifar10-x4"])
    @pytest.mark.parametrize("precision", ["no", "bf16"])
    def test_trains_from_its_preset(self, tmp_path: Path, name: str, precision: str):
        run = trained(tmp_path, preset(name, steps=3), precision)
        assert (run.step, run.skipped) == (3, 0)
        assert all(torch.isfinite(parameter).all() for parameter in run.model.parameters())


def test_the_bundled_srgan_has_more_of_the_originals_detail_than_its_bundled_twin():
    """On photographs that neither has seen: scikit-image's, at the size of thumbnails."""
    twins = [hvae_sr.load(f"{name}-cifar10-x4") for name in ("srresnet", "srgan")]
    hr = shown(32)
    wanted = high_frequencies(hr)
    soft, sharp = (high_frequencies(twin.upscale(TASK(hr))) / wanted for twin in twins)
    assert soft < 0.8 * sharp and sharp < 1
