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
    objective,
    random_images,
    same_weights,
    shaken,
    smooth_images,
    tiny_srgan,
    tiny_srresnet,
    tiny_vae,
)
from torch import Tensor, nn

import hvae_sr
from benchmarks.ablation import shown
from benchmarks.family import TASK
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import TrainingError
from hvae_sr.models import SRGAN, VAE
from hvae_sr.nn.discriminator import Adversary, Discriminator
from hvae_sr.training.data import DeadLeaves
from hvae_sr.training.loop import Trainer
from hvae_sr.training.recipes import PRESETS, Player, Recipe
from hvae_sr.training.setup import Options


def pair(scale: int = 4) -> tuple[Tensor, Tensor]:
    hr = smooth_images(3, 3, 3 * scale, 5 * scale)
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
    """Energy of the luma beyond what an LR image at x4 can hold."""
    spectrum = torch.fft.fft2(picture.mean(dim=1)).abs().square()
    rows, columns = (torch.fft.fftfreq(size).abs() for size in picture.shape[-2:])
    return float(spectrum[:, torch.maximum(rows[:, None], columns[None]) > 1 / 8].sum())


class TestAdversary:
    """`Adversary` on the decoder of a VAE, as on any image that a gradient flows through."""

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
        hr = random_images(2, 3, 8, 8)
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
            objective(network, hr, lr).backward()
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
                hr = random_images(4, 3, 16, 16, seed=step)
                played.append(network.loss(hr, shrink(hr)))
                optimizer.zero_grad()
                sum(played[-1][term] for term in network.players()).backward()
                optimizer.step()
        hr = random_images(8, 3, 16, 16, seed=-1)
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


class TestTwoPlayers:
    """The trainer gives each player an optimiser's group, a learning rate and a clip norm."""

    def run(self, out: Path, **changes: Any) -> Trainer:
        recipe = preset("srgan-cifar10-x4", steps=4, warmup_steps=0, **changes)
        options = Options(out, save_every=2, log_every=2)
        return Trainer(recipe, DeadLeaves(32), options, "pytest")

    def gradients(self, run: Trainer) -> dict[str, Tensor]:
        """Norm of what each player's optimiser is handed at a step."""
        seen: dict[str, Tensor] = {}
        step = run.optimizer.step

        def watched(*args: Any, **kwargs: Any) -> Any:
            for term, group in zip(run.players, run.optimizer.param_groups, strict=True):
                seen[term] = torch.stack([p.grad.norm() for p in group["params"]]).norm()
            return step(*args, **kwargs)

        run.optimizer.step = watched
        run.train_step()
        return seen

    def test_each_is_clipped_to_its_own_norm(self, tmp_path: Path):
        opponent = {"discriminator": Player(clip=2e-3)}
        run = self.run(tmp_path, clip=1e-3, players=opponent)
        found = {term: float(norm) for term, norm in self.gradients(run).items()}
        assert found == pytest.approx({"loss": 1e-3, "discriminator": 2e-3}, rel=1e-2)

    def test_a_loud_discriminator_does_not_slow_the_generator(self, tmp_path: Path):
        """Of one norm for both, a small clip would leave the generator next to nothing."""
        norms = [
            self.gradients(self.run(tmp_path / str(clip), players={"discriminator": Player(clip)}))
            for clip in (1e-6, 1e6)
        ]
        assert torch.equal(norms[0]["loss"], norms[1]["loss"])
        assert norms[0]["discriminator"] < 1e-5 < norms[1]["discriminator"]

    def test_each_has_its_own_learning_rate(self, tmp_path: Path):
        run = self.run(tmp_path, players={"discriminator": Player(clip=1.0, rate=0.0)})
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        run.train_step()
        moved = {
            name for name, value in run.model.state_dict().items() if not value.equal(before[name])
        }
        assert moved == {name for name in before if not name.startswith("adversary.")}
        rates = [group["lr"] for group in run.optimizer.param_groups]
        assert rates == [run.recipe.learning_rate_at(0, 0.0), 0.0]

    def test_resumes_exactly(self, tmp_path: Path):
        whole = self.run(tmp_path / "whole")
        whole.run()
        options = replace(whole.options, out=tmp_path / "parts", max_minutes=0.0)
        Trainer(whole.recipe, DeadLeaves(32), options, "pytest").run()
        options = replace(options, max_minutes=None, resume=True)
        resumed = Trainer(whole.recipe, DeadLeaves(32), options, "pytest")
        assert resumed.step == 1
        resumed.run()
        assert same_weights(resumed.model, whole.model)
        assert same_weights(resumed.ema.model, whole.ema.model)

    def test_both_losses_and_norms_are_logged(self, tmp_path: Path):
        terms, finite = self.run(tmp_path).train_step()
        assert bool(finite)
        norms = {"gradient_norm", "discriminator_gradient_norm"}
        assert {"loss", "discriminator", "real", "fake"} | norms <= terms.keys()
        assert not any(value.requires_grad for value in terms.values())

    def test_settings_for_nobody_are_refused(self, tmp_path: Path):
        recipe = preset("srresnet-cifar10-x4", players={"discriminator": Player(clip=1.0)})
        with pytest.raises(TrainingError, match="'discriminator', but a SRResNet trains loss"):
            Trainer(recipe, DeadLeaves(32), Options(tmp_path), "pytest")

    def test_a_loss_on_features_is_refused(self, tmp_path: Path):
        options = Options(tmp_path, features=tmp_path / "none.pth")
        with pytest.raises(TrainingError, match="without a discriminator"):
            Trainer(preset("srgan-cifar10-x4"), DeadLeaves(32), options, "pytest")


def test_the_bundled_srgan_has_more_of_the_originals_detail_than_its_bundled_twin():
    """On photographs that neither has seen: scikit-image's, at the size of thumbnails."""
    twins = [hvae_sr.load(f"{name}-cifar10-x4") for name in ("srresnet", "srgan")]
    hr = shown(32)
    wanted = high_frequencies(hr)
    soft, sharp = (high_frequencies(twin.upscale(TASK(hr))) / wanted for twin in twins)
    assert soft < 0.8 * sharp and sharp < 1
