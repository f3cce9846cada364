"""The training loop: schedules, EMA, exact resuming, and everything that can go wrong in a run."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import set_seed
from conftest import random_images, same_weights, tiny_cnn, tiny_hvae
from torch import Tensor, nn

import hvae_sr
from hvae_sr import cli
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import TrainingError
from hvae_sr.models import HVAE
from hvae_sr.storage.serialization import sha256
from hvae_sr.training import checkpoints, feature_loss, meter, snapshots
from hvae_sr.training.criterion import compiled
from hvae_sr.training.data import DeadLeaves, Stack
from hvae_sr.training.ema import EMA
from hvae_sr.training.loop import Trainer
from hvae_sr.training.recipes import PRESETS, Objective, Recipe
from hvae_sr.training.setup import Options

ROOT = Path(__file__).parents[1]

HVAE_RECIPE = Recipe(
    model="HVAE",
    arguments={k: v for k, v in tiny_hvae().config.items() if k != "lr_prior"},
    steps=6,
    batch_size=4,
    validation=4,
    warmup_steps=2,
    objective=Objective(kl_warmup_start=0.1, kl_warmup_end=0.6, prior_weight=0.1),
)
CNN_RECIPE = Recipe(
    model="StudyCNN",
    arguments=tiny_cnn().config,
    steps=6,
    batch_size=4,
    validation=4,
    optimizer="adamw",
)


def trainer(out: Path, recipe: Recipe = CNN_RECIPE, **options: Any) -> Trainer:
    settings = {"log_every": 2, "save_every": 3, **options}
    return Trainer(recipe, DeadLeaves(16, leaves=6), Options(out=out, **settings), "pytest")


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def until(checkpoint: str, whole: Path, out: Path) -> Path:
    """A copy of a run as it was when `checkpoint` had just been written."""
    (out / "checkpoints").mkdir(parents=True)
    shutil.copytree(whole / "checkpoints" / checkpoint, out / "checkpoints" / checkpoint)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer]:
    """Six steps in one go, with a checkpoint in the middle."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    run = trainer(out, HVAE_RECIPE)
    run.run()
    return out, run


class TestSchedules:
    def test_learning_rate_warms_up_then_falls_as_a_cosine(self):
        recipe = Recipe("HVAE", steps=1000, learning_rate=0.2, warmup_steps=10, final=0.1)
        rates = [recipe.learning_rate_at(step, step / 1000) for step in range(1000)]
        assert rates[0] == pytest.approx(0.02, rel=1e-3)
        assert max(rates) == pytest.approx(0.2, rel=1e-3)
        assert rates.index(max(rates)) == 9
        assert rates[9:] == sorted(rates[9:], reverse=True)
        for step in (250, 500, 750):
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / 1000)
            assert rates[step] == pytest.approx(0.2 * (0.1 + 0.9 * cosine))
        assert rates[-1] == pytest.approx(0.02, rel=1e-3)

    def test_no_warm_up_starts_at_the_full_rate(self):
        assert Recipe("HVAE", learning_rate=0.2, warmup_steps=0).learning_rate_at(0, 0.0) == 0.2

    def test_beta_is_quiet_then_rises_then_stays(self):
        objective = Objective(beta=2.0, kl_warmup_start=0.2, kl_warmup_end=0.6, beta_start=0.1)
        betas = {p: objective.at(p)["beta"] for p in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
        assert betas == pytest.approx({0.0: 0.1, 0.2: 0.1, 0.4: 1.05, 0.6: 2, 0.8: 2, 1.0: 2})

    def test_an_objective_is_what_loss_accepts(self):
        hr = torch.rand(1, 3, 8, 8)
        lr = get_degradation("gaussian", 4)(hr)
        terms = tiny_hvae().loss(hr, lr, **Objective(mse_weight=1, prior_weight=1).at(0.5))
        assert {"mse", "psnr_prior"} <= terms.keys()

    def test_models_without_an_elbo_take_no_weights(self):
        assert CNN_RECIPE.loss_arguments(0.5) == {}


class TestEma:
    def test_is_the_recursion_with_a_decay_that_suits_short_runs(self):
        model = nn.Linear(3, 2)
        ema, expected = EMA(model, 0.5), model.weight.detach().clone()
        for step in range(30):
            with torch.no_grad():
                model.weight.add_(torch.randn(2, 3))
            ema.update(model)
            decay = min(0.5, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * model.weight.detach()
            assert torch.allclose(ema.model.weight, expected, atol=1e-6)
        assert ema.updates == 30
        assert decay == 0.5, "the largest decay was never reached"

    def test_a_constant_is_its_own_average(self):
        model = nn.Linear(3, 2)
        ema = EMA(model, 0.999)
        for _ in range(5):
            ema.update(model)
        assert torch.allclose(ema.model.weight, model.weight)

    def test_it_is_a_copy_that_does_not_train(self):
        model = tiny_hvae()
        ema = EMA(model, 0.9)
        assert not ema.model.training
        assert not any(p.requires_grad for p in ema.model.parameters())
        assert ema.model.config == model.config
        with torch.no_grad():
            model.head[1].weight.add_(1)
        assert not torch.equal(ema.model.head[1].weight, model.head[1].weight)

    def test_buffers_follow(self):
        model = nn.BatchNorm1d(2)
        ema = EMA(model, 0.9)
        model(torch.randn(8, 2))
        ema.update(model)
        assert torch.equal(ema.model.running_mean, model.running_mean)


class TestRun:
    def test_what_a_run_leaves(self, whole: tuple[Path, Trainer]):
        out, _ = whole
        assert [p.name for p in sorted((out / "checkpoints").iterdir())] == [
            "step-00000003",
            "step-00000006",
        ]
        assert [p.name for p in sorted((out / "samples").iterdir())] == [
            "step-00000003.png",
            "step-00000006.png",
        ]
        assert list((out / "curves").rglob("*tfevents*"))
        facts = json.loads((out / "model" / "training.json").read_text())
        assert (facts["steps"], facts["images"], facts["skipped_gradients"]) == (6, 24, 0)
        assert facts["command"] == "pytest"
        assert facts["recipe"]["arguments"] == HVAE_RECIPE.arguments

    def test_the_log_is_finite_and_in_order(self, whole: tuple[Path, Trainer]):
        lines = log(whole[0])
        assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6]
        assert [line["step"] for line in lines if "validation_loss" in line] == [3, 6]
        assert all(math.isfinite(value) for line in lines for value in line.values())

    def test_the_averaged_model_is_what_was_saved(self, whole: tuple[Path, Trainer]):
        out, run = whole
        model = hvae_sr.load(out / "model")
        assert isinstance(model, HVAE)
        assert same_weights(model, run.ema.model)
        assert not same_weights(model, run.model)
        assert model.upscale(torch.rand(1, 3, 4, 4)).shape == (1, 3, 16, 16)

    def test_every_weight_moved(self, whole: tuple[Path, Trainer]):
        run = whole[1]
        set_seed(0)
        start = HVAE(**HVAE_RECIPE.arguments).state_dict()
        for key, value in run.model.state_dict().items():
            assert torch.isfinite(value).all()
            assert not torch.equal(value, start[key]), key

    def test_a_finished_run_is_not_overwritten(self, whole: tuple[Path, Trainer]):
        with pytest.raises(TrainingError, match="--resume"):
            trainer(whole[0], HVAE_RECIPE)

    def test_the_same_seed_trains_the_same_model(self, tmp_path: Path):
        runs = [trainer(tmp_path / str(i), seed=seed) for i, seed in enumerate([1, 1, 2])]
        models = [run.run() for run in runs]
        assert same_weights(models[0], models[1])
        assert not same_weights(models[0], models[2])

    @pytest.mark.parametrize("shrink", [None, {"name": "gaussian", "scale": 2}])
    def test_models_without_an_lr_side_train_on_images_or_on_lr_images(
        self, shrink: dict[str, Any] | None, tmp_path: Path
    ):
        arguments = {**HVAE_RECIPE.arguments, "scale": 1, "start": "constant"}
        recipe = replace(HVAE_RECIPE, arguments=arguments, shrink=shrink, steps=2)
        trainer(tmp_path / "run", replace(recipe, objective=Objective())).run()
        model = hvae_sr.load(tmp_path / "run" / "model")
        assert isinstance(model, HVAE)
        assert model.sample(1, size=(8, 8), seed=0).shape == (1, 3, 8, 8)


class TestResume:
    def test_is_bit_identical_to_a_run_in_one_go(self, whole: tuple[Path, Trainer], tmp_path: Path):
        straight = whole[1]
        out = until("step-00000003", whole[0], tmp_path / "run")
        resumed = trainer(out, HVAE_RECIPE, resume=True)
        assert resumed.step == 3
        assert not same_weights(resumed.model, straight.model)
        resumed.run()
        assert same_weights(resumed.model, straight.model)
        assert same_weights(resumed.ema.model, straight.ema.model)
        assert resumed.ema.updates == straight.ema.updates

    def test_no_file_of_a_checkpoint_can_run_code(
        self, whole: tuple[Path, Trainer], tmp_path: Path
    ):
        class Bomb:
            def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
                return os.mkdir, (str(tmp_path / "exploded"),)

        names = sorted(path.name for path in (whole[0] / "checkpoints/step-00000003").iterdir())
        assert {"average.safetensors", "model.safetensors", "optimizer.bin"} < set(names)
        refused = pytest.raises(TrainingError, match="does not fit this run")
        for name in names:
            if name.endswith(".json"):  # which cannot
                continue
            out = until("step-00000003", whole[0], tmp_path / name)
            folder = out / "checkpoints/step-00000003"
            torch.save(Bomb(), folder / name)
            sums = json.loads((folder / checkpoints.CHECKSUMS).read_text())
            sums[name] = sha256(folder / name)  # an attacker's are right
            (folder / checkpoints.CHECKSUMS).write_text(json.dumps(sums))
            # accelerate does without random states that it cannot read, as a run here does
            with nullcontext() if name.startswith("random_states") else refused:
                trainer(out, HVAE_RECIPE, resume=True)
        assert not (tmp_path / "exploded").exists()

    def test_validation_does_not_disturb_training(
        self, whole: tuple[Path, Trainer], tmp_path: Path
    ):
        often = trainer(tmp_path / "run", HVAE_RECIPE, save_every=1, log_every=1)
        often.run()
        assert same_weights(often.model, whole[1].model)

    def test_running_out_of_minutes_saves_everything(
        self, whole: tuple[Path, Trainer], tmp_path: Path
    ):
        out = tmp_path / "run"
        short = trainer(out, HVAE_RECIPE, max_minutes=0.0)
        short.run()
        assert short.step == 1
        assert checkpoints.newest(out / "checkpoints") == out / "checkpoints" / "step-00000001"
        assert isinstance(hvae_sr.load(out / "model"), HVAE)
        resumed = trainer(out, HVAE_RECIPE, resume=True)
        resumed.run()
        assert same_weights(resumed.model, whole[1].model)
        assert resumed.minutes > short.minutes

    def test_half_written_checkpoints_are_ignored(
        self, whole: tuple[Path, Trainer], tmp_path: Path
    ):
        out = until("step-00000003", whole[0], tmp_path / "run")
        good = out / "checkpoints" / "step-00000003"
        for name in (".step-00000006", "step-00000006", "step-00000009"):
            shutil.copytree(good, out / "checkpoints" / name)
            (out / "checkpoints" / name / "checksums.json").unlink()
        (out / "checkpoints" / ".step-00000006" / "model.safetensors").write_bytes(b"half")
        resumed = trainer(out, HVAE_RECIPE, resume=True)
        assert resumed.step == 3
        resumed.run()
        assert same_weights(resumed.model, whole[1].model)

    def test_only_the_newest_two_are_kept(self, tmp_path: Path):
        trainer(tmp_path / "run", save_every=1).run()
        kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
        assert kept == ["step-00000005", "step-00000006"]

    def test_there_must_be_something_to_resume(self, tmp_path: Path):
        with pytest.raises(TrainingError, match="no checkpoint"):
            trainer(tmp_path / "run", resume=True)

    def test_another_run_is_refused_unless_it_is_wanted(
        self, whole: tuple[Path, Trainer], tmp_path: Path
    ):
        out = until("step-00000003", whole[0], tmp_path / "run")
        others: list[tuple[str, Recipe, dict[str, Any]]] = [
            ("model 'HVAE' is now", CNN_RECIPE, {}),
            ("batch_size", replace(HVAE_RECIPE, batch_size=2), {}),
            ("learning_rate", replace(HVAE_RECIPE, learning_rate=1e-5), {}),
            ("seed 0 is now 1", HVAE_RECIPE, {"seed": 1}),
            ("anneal_minutes", HVAE_RECIPE, {"anneal_minutes": 1.0}),
        ]
        for named, recipe, options in others:
            with pytest.raises(TrainingError, match=named):
                trainer(out, recipe, resume=True, **options)
        with pytest.raises(TrainingError, match="data"):
            Trainer(HVAE_RECIPE, DeadLeaves(16, leaves=7), Options(out, resume=True), "pytest")
        recipe = replace(HVAE_RECIPE, learning_rate=1e-5)
        trainer(out, recipe, resume=True, allow_changes=True).run()
        changed = [line["changed"] for line in log(out) if "changed" in line]
        assert len(changed) == 1 and "learning_rate" in changed[0][0]

    def test_another_network_is_refused_even_if_changes_are_wanted(
        self, whole: tuple[Path, Trainer], tmp_path: Path
    ):
        out = until("step-00000003", whole[0], tmp_path / "run")
        with pytest.raises(TrainingError, match="does not fit"):
            trainer(out, CNN_RECIPE, resume=True, allow_changes=True)

    def test_any_changed_byte_is_refused(self, whole: tuple[Path, Trainer], tmp_path: Path):
        """Also one that every reader would swallow, and train on to another result."""
        original = whole[0] / "checkpoints" / "step-00000003"
        names = [file.relative_to(original) for file in original.rglob("*") if file.is_file()]
        assert len(names) >= 5
        for number, name in enumerate(names):
            out = until("step-00000003", whole[0], tmp_path / str(number))
            file = out / "checkpoints" / "step-00000003" / name
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
            with pytest.raises(TrainingError, match="damaged"):
                trainer(out, HVAE_RECIPE, resume=True)

    @pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin", "state.json"])
    @pytest.mark.parametrize("keep", [None, 0, 30])
    def test_damaged_checkpoints_are_refused(
        self, whole: tuple[Path, Trainer], name: str, keep: int | None, tmp_path: Path
    ):
        out = until("step-00000003", whole[0], tmp_path / "run")
        damaged = out / "checkpoints" / "step-00000003" / name
        content = damaged.read_bytes()
        damaged.unlink()
        if keep is not None:
            damaged.write_bytes(content[:keep])
        with pytest.raises(TrainingError, match="step-00000003 is damaged"):
            trainer(out, HVAE_RECIPE, resume=True)

    def test_the_checkpoint_before_a_damaged_one_is_named(
        self, whole: tuple[Path, Trainer], tmp_path: Path
    ):
        out = until("step-00000003", whole[0], tmp_path / "run")
        newest = out / "checkpoints" / "step-00000006"
        shutil.copytree(whole[0] / "checkpoints" / "step-00000006", newest)
        (newest / "average.safetensors").write_bytes(b"")
        with pytest.raises(TrainingError, match="delete it to resume from step-00000003"):
            trainer(out, HVAE_RECIPE, resume=True)
        shutil.rmtree(newest)
        assert trainer(out, HVAE_RECIPE, resume=True).step == 3


class TestTrouble:
    def test_a_full_disk_ends_the_run_and_keeps_the_last_checkpoint(self, tmp_path: Path):
        out = tmp_path / "run"
        run = trainer(out)
        save = run.accelerator.save_state

        def full(folder: str, *args: Any, **kwargs: Any) -> str:
            if "00000006" not in folder:
                return save(folder, *args, **kwargs)
            Path(folder).mkdir()
            (Path(folder) / "model.safetensors").write_bytes(b"half")
            raise OSError(28, "No space left on device")

        run.accelerator.save_state = full  # type: ignore[method-assign]
        with pytest.raises(TrainingError, match=r"No space.*step-00000003 is kept"):
            run.run()
        assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000003"]
        resumed = trainer(out, resume=True)
        assert resumed.step == 3
        resumed.run()
        assert same_weights(resumed.model, run.model)

    def spoil(self, run: Trainer, steps: range) -> None:
        """Make the loss NaN at some steps."""
        loss = run.model.loss

        def spoiled(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
            terms = loss(*args, **kwargs)
            return {**terms, "loss": terms["loss"] * (math.nan if run.step in steps else 1.0)}

        run.model.loss = spoiled  # type: ignore[method-assign]

    @pytest.mark.parametrize("log_every", [1, 2, 50])
    def test_a_gradient_that_is_not_finite_is_dropped_and_counted(
        self, log_every: int, tmp_path: Path
    ):
        run = trainer(tmp_path / "run", log_every=log_every)
        self.spoil(run, range(2, 3))
        run.run()
        assert run.step == 6
        assert snapshots.facts(run)["skipped_gradients"] == 1
        for model in (run.model, run.ema.model):
            assert all(torch.isfinite(p).all() for p in model.parameters())
        for line in log(tmp_path / "run"):
            assert math.isfinite(line.get("gradient_norm", 0.0))

    def test_the_log_stays_json(self, tmp_path: Path):
        """NaN is no JSON: other programs than Python refuse the whole line."""
        run = trainer(tmp_path / "run")
        self.spoil(run, range(2, 3))
        run.run()
        for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines():
            json.loads(line, parse_constant=pytest.fail)

    def test_many_in_a_row_end_the_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(meter, "MOST_SKIPS", 3)
        out = tmp_path / "run"
        run = trainer(out, replace(CNN_RECIPE, steps=60), log_every=3)
        self.spoil(run, range(4, 60))
        with pytest.raises(TrainingError, match="not finite"):
            run.run()
        assert 7 <= run.step <= 9
        assert all(torch.isfinite(p).all() for p in run.model.parameters())
        resumed = trainer(out, replace(CNN_RECIPE, steps=60), resume=True)
        assert 3 <= resumed.step <= 6
        assert all(torch.isfinite(p).all() for p in resumed.model.parameters())

    def test_now_and_then_does_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(meter, "MOST_SKIPS", 3)
        run = trainer(tmp_path / "run", replace(CNN_RECIPE, steps=12), log_every=3)
        self.spoil(run, range(0, 12, 2))
        run.run()
        assert snapshots.facts(run)["skipped_gradients"] == 6

    def test_unknown_optimizers_are_refused(self, tmp_path: Path):
        with pytest.raises(TrainingError, match="adamw"):
            trainer(tmp_path / "run", replace(CNN_RECIPE, optimizer="sgd"))


class TestWhatTheModelSees:
    def test_warm_up_reaches_the_loss(self, tmp_path: Path):
        run = trainer(tmp_path / "run", HVAE_RECIPE)
        loss, betas = run.model.loss, []

        def watched(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
            betas.append(kwargs["beta"])
            assert kwargs["prior_weight"] == 0.1
            return loss(*args, **kwargs)

        run.model.loss = watched  # type: ignore[method-assign]
        run.run()
        expected = [HVAE_RECIPE.loss_arguments(step / 6)["beta"] for step in range(6)]
        assert betas == expected
        assert betas[0] < betas[2] < betas[-1] == 1.0

    def test_pairs_are_pictures_and_their_lr_side(self, tmp_path: Path):
        run = trainer(tmp_path / "run")
        hr, lr, _ = run.batch(3, 4)
        assert hr.shape == (4, 3, 16, 16)
        assert torch.equal((hr * 255).round() / 255, hr)
        assert lr is not None
        assert torch.equal(lr, get_degradation("gaussian", 4)(hr))

    def test_given_lr_versions_are_taken_and_a_teacher_is_heard_less_and_less(self, tmp_path: Path):
        hr = torch.full((12, 3, 16, 16), 100, dtype=torch.uint8)
        lr, answers = torch.zeros(12, 3, 4, 4, dtype=torch.uint8), torch.full_like(hr, 200)
        recipe = replace(CNN_RECIPE, target_weight=0.5)
        run = Trainer(recipe, Stack(hr, "flat", lr, answers), Options(tmp_path / "run"), "pytest")
        for step, weight in [(0, 0.5), (3, 0.5 * (1 - 0.5 / 0.8)), (5, 0.0), (6, 0.0)]:
            run.step = step
            batch = run.batch(0, 2)
            assert batch.lr is not None and (batch.lr == 0).all()
            expected = torch.full_like(batch.hr, (100 + 100 * weight) / 255)
            torch.testing.assert_close(batch.hr, expected)

    def test_a_loss_on_features_takes_part_more_and_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        class Means(torch.nn.Module):
            def forward(self, image: Tensor, target: Tensor) -> Tensor:
                return (image.mean() - target.mean()).abs()

        monkeypatch.setattr(feature_loss, "load", lambda path: Means())
        recipe = replace(CNN_RECIPE, feature_weight=2.0)
        run = trainer(tmp_path / "run", recipe, features=tmp_path / "weights.pth")
        for step, weight in [(0, 0.5), (3, 1.25), (6, 2.0)]:
            run.step = step
            terms, _ = run.train_step()
            assert set(terms) == {"loss", "features", "psnr", "gradient_norm"}
            assert float(terms["loss"]) >= weight * float(terms["features"])
            assert run.weights(run.progress) == {"features": weight}

    def test_features_need_their_weights_and_a_deterministic_model(self, tmp_path: Path):
        with pytest.raises(TrainingError, match="cannot be read as weights of EfficientNet-Lite0"):
            trainer(tmp_path / "run", features=tmp_path / "none.pth")
        with pytest.raises(TrainingError, match="for deterministic models"):
            trainer(tmp_path / "run", HVAE_RECIPE, features=tmp_path / "none.pth")

    @pytest.mark.parametrize("recipe", [CNN_RECIPE, HVAE_RECIPE])
    def test_a_compiled_step_is_the_plain_one(self, tmp_path: Path, recipe: Recipe):
        """Traced, but run by torch itself: a real compiler takes minutes and draws other noise."""
        terms = []
        for backend in (None, "eager"):
            run = trainer(tmp_path / str(backend), recipe)
            if backend is not None:
                run.loss = compiled(run.criterion, backend)
            terms.append(run.train_step()[0])
        for key, value in terms[0].items():
            torch.testing.assert_close(terms[1][key], value, rtol=1e-3, atol=1e-4)

    def test_likelihoods_are_of_originals_alone(self, tmp_path: Path):
        hr = torch.zeros(12, 3, 16, 16, dtype=torch.uint8)
        pictures = Stack(hr, "flat", hr[..., ::4, ::4], hr)
        with pytest.raises(TrainingError, match="leave out the targets"):
            Trainer(HVAE_RECIPE, pictures, Options(tmp_path / "run"), "pytest")

    def test_the_schedule_can_follow_the_clock(self, tmp_path: Path):
        run = trainer(tmp_path / "run", replace(CNN_RECIPE, steps=10**9), anneal_minutes=0.02)
        assert run.progress == 0
        run.run()
        assert run.progress == 1 and run.minutes >= 0.02
        rate = run.optimizer.param_groups[0]["lr"]
        assert rate < 0.2 * CNN_RECIPE.learning_rate
        assert snapshots.facts(run)["anneal_minutes"] == 0.02

    def test_the_learning_rate_reaches_the_optimizer(self, tmp_path: Path):
        run = trainer(tmp_path / "run", HVAE_RECIPE)
        for step in (0, 1, 5):
            run.step = step
            run.train_step()
            assert run.optimizer.param_groups[0]["lr"] == HVAE_RECIPE.learning_rate_at(
                step, step / 6
            )

    def gradients(self, run: Trainer) -> list[Tensor]:
        """What the optimiser is handed at the first step."""
        seen: list[Tensor] = []
        step = run.optimizer.step

        def watched(*args: Any, **kwargs: Any) -> Any:
            seen.extend(p.grad.clone() for p in run.model.parameters() if p.grad is not None)
            return step(*args, **kwargs)

        run.optimizer.step = watched
        run.train_step()
        return seen

    def test_gradients_are_clipped(self, tmp_path: Path):
        run = trainer(tmp_path / "run", replace(CNN_RECIPE, clip=1e-3))
        norm = torch.stack([gradient.norm() for gradient in self.gradients(run)]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-2)

    def test_accumulating_gives_the_gradient_of_the_whole_batch(self, tmp_path: Path):
        half = random_images(12, 3, 16, 8)
        pixels = torch.cat([half, half.flip(-1)], dim=-1).mul(255).round().byte()
        recipe = replace(CNN_RECIPE, clip=1e9)
        found = []
        for accumulate in (1, 2):
            options = Options(out=tmp_path / str(accumulate), accumulate=accumulate)
            run = Trainer(recipe, Stack(pixels, "mirror images"), options, "pytest")
            found.append(self.gradients(run))
            assert run.ema.updates == 1
        for whole, parts in zip(*found, strict=True):
            assert torch.allclose(whole, parts, rtol=1e-3, atol=1e-7)


class TestCommandLine:
    def test_unknown_presets_exit_with_2(self):
        command = [sys.executable, str(ROOT / "train.py"), "--preset", "nonsense"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert done.returncode == 2
        assert "study-cnn-cifar10-x4" in done.stderr
        assert "Traceback" not in done.stderr

    def command(self, out: Path, **options: Any) -> list[str]:
        settings = {"preset": "tiny", "crop": 16, "validation": 2, "out": out, **options}
        named = [(f"--{key.replace('_', '-')}", value) for key, value in settings.items()]
        pairs = [[key] if value is True else [key, str(value)] for key, value in named]
        return ["train", *[word for pair in pairs for word in pair]]

    def test_a_preset_trains(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(PRESETS, "tiny", HVAE_RECIPE)
        changes = {"steps": 2, "batch_size": 2, "beta": 0.5, "kl_warmup": 0.2}
        assert cli.run(self.command(tmp_path / "run", **changes)) == 0
        facts = json.loads((tmp_path / "run" / "model" / "training.json").read_text())
        assert facts["recipe"]["objective"]["beta"] == 0.5
        assert facts["recipe"]["objective"]["kl_warmup_end"] == 0.2
        assert (facts["steps"], facts["images"]) == (2, 4)

    def test_options_of_the_recipe_reach_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(PRESETS, "tiny", HVAE_RECIPE)
        tiny_cnn().save_pretrained(tmp_path / "base")
        changes = {"steps": 1, "batch_size": 2, "base_model": tmp_path / "base", "free_bits": 0.1}
        assert cli.run(self.command(tmp_path / "run", learning_rate=1e-4, **changes)) == 0
        facts = json.loads((tmp_path / "run" / "model" / "training.json").read_text())["recipe"]
        assert facts["base_model"] == str(tmp_path / "base")
        assert (facts["learning_rate"], facts["objective"]["free_bits"]) == (1e-4, 0.1)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"data": "imagenet"},
            {"data": "absent.npy"},
            {"resume": True},
            {"beta": 0.5},
            {"crop": 30},
            {"crop": 0},
            {"learning_rate": "nan"},
            {"anneal_minutes": -1},
            {"max_minutes": "nan"},
            {"precision": "fp7"},
            {"accumulate": 0},
            {"accumulate": 5},
            {"batch_size": 0},
            {"validation": 0},
        ],
        ids=str,
    )
    def test_mistakes_get_one_sentence_and_exit_2(
        self,
        wrong: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ):
        monkeypatch.setitem(PRESETS, "tiny", replace(CNN_RECIPE, steps=1))
        assert cli.run(self.command(tmp_path / "run", **wrong), name="train.py") == 2
        assert capsys.readouterr().err.strip().splitlines()[-1].startswith("train.py: ")
