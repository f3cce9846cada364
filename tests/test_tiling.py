"""Windows, blends and the noise field by themselves, and images upscaled in tiles."""

import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from conftest import (
    TINY,
    Nearest,
    random_images,
    shaken,
    smooth_images,
    tiny_cnn,
    tiny_hvae,
    tiny_lr_prior,
    tiny_srvae,
    tiny_study_vae,
)
from PIL import Image
from torch import Tensor

from hvae_sr.errors import ImageError, ModelError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.latents import Decode, LatentSource
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import quantise
from hvae_sr.nn.windows import RAMP, smallest_tile, windows
from hvae_sr.upscaling import UpscaleOptions, Upscaler, tiling
from hvae_sr.upscaling.noise_field import NoiseField


class Count:
    """Replaces a model's `draw`: notes the sizes of its passes, and may fail in some."""

    def __init__(self, model: SuperResolutionModel, fails: Any = lambda lr, samples: None):
        self.inner, self.fails, self.sizes = model.draw, fails, []
        model.draw = self  # type: ignore[method-assign, assignment]

    def __call__(
        self,
        lr: Tensor,
        samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        self.sizes.append((len(lr) * samples, *lr.shape[-2:]))
        error = self.fails(lr, samples)
        if error is not None:
            raise error
        return self.inner(lr, samples, temperature, noise, decode)


def least(model: SuperResolutionModel) -> int:
    return smallest_tile(model.receptive_field, multiple=model.size_multiple)


CASES = list(itertools.product((1, 29, 40, 41, 77, 333), (40, 64, 128), (0, 3, 10), (1, 2)))


class TestWindows:
    @pytest.mark.parametrize(("length", "tile", "halo", "multiple"), CASES)
    def test_cover_an_axis(self, length: int, tile: int, halo: int, multiple: int):
        length *= multiple
        tile = max(tile, smallest_tile(halo, RAMP, multiple))
        cut = windows(length, tile, halo, multiple=multiple)
        assert len({window.size for window in cut}) == 1
        assert all(w.start % multiple == 0 and w.size % multiple == 0 for w in cut)
        assert cut[0].size <= max(tile, 1) and (len(cut) > 1) == (length > tile)
        total = torch.zeros(length * 3)
        for window in cut:
            assert window.start <= window.first < window.last <= window.stop
            assert window.start == 0 or window.first - window.start >= halo
            assert window.stop == length or window.stop - window.last >= halo
            weights = window.weights(3)
            assert weights.min() > 0
            total[window.target(3)] += weights
        assert torch.allclose(total, torch.ones(length * 3), atol=1e-6)

    def test_neighbours_blend_over_the_ramp_and_nowhere_else(self):
        one, other = windows(100, 64, 4)
        assert one.last - other.first == RAMP
        assert (one.weights(1) < 1).sum() == (other.weights(1) < 1).sum() == RAMP

    def test_no_more_windows_than_needed(self):
        assert len(windows(101, 100, 10)) == 2
        assert len(windows(10_000, 500, 0, ramp=0)) == 20

    def test_tiles_too_small_for_halo_and_ramps_are_refused(self):
        with pytest.raises(ValueError, match=f"at least {smallest_tile(10)}"):
            windows(100, smallest_tile(10) - 1, 10)


class TestNoiseField:
    def test_large_seeds_are_seeds_of_their_own(self):
        like = torch.empty(4)
        draws = {
            tuple(Noise(seed + upper)(like).tolist())
            for seed in (0, 1, 7)
            for upper in (0, 2**32, 2**33, 2**62)
        }
        assert len(draws) == 12
        with pytest.raises(ValueError, match="seed must be from 0"):
            Noise(-1)

    def test_one_block_draws_what_plain_noise_draws(self):
        window = NoiseField(5, 8, 12, rows=6).window(slice(0, 6), slice(0, 8), slice(0, 12))
        plain = Noise(5)
        for finer in (1, 2, 4):
            like = torch.zeros(6, 3, 8 * finer, 12 * finer)
            assert torch.equal(window(like), plain(like))

    @pytest.mark.parametrize("finer", [1, 4])
    def test_windows_see_one_field(self, finer: int):
        field = NoiseField(5, 150, 70, rows=9)
        whole = field.window(slice(0, 9), slice(0, 150), slice(0, 70))
        part = field.window(slice(2, 8), slice(60, 131), slice(7, 66))
        for _ in range(2):
            expected = whole(torch.zeros(9, 2, 150 * finer, 70 * finer))
            found = part(torch.zeros(6, 2, 71 * finer, 59 * finer))
            crop = expected[2:8, :, 60 * finer : 131 * finer, 7 * finer : 66 * finer]
            assert torch.equal(found, crop)

    def test_maps_coarser_than_lr(self):
        field = NoiseField(5, 132, 132, rows=1, multiple=4)
        whole = field.window(slice(0, 1), slice(0, 132), slice(0, 132))(torch.zeros(1, 2, 33, 33))
        part = field.window(slice(0, 1), slice(32, 96), slice(60, 132))
        assert torch.equal(part(torch.zeros(1, 2, 16, 18)), whole[..., 8:24, 15:33])

    def test_is_standard_normal_and_never_repeats(self):
        field = NoiseField(0, 200, 200, rows=1)
        noise = field.window(slice(0, 1), slice(0, 200), slice(0, 200))(torch.zeros(1, 1, 200, 200))
        assert abs(float(noise.mean())) < 0.02 and abs(float(noise.std()) - 1) < 0.02
        assert len(noise.unique()) > 0.99 * noise.numel()

    def test_large_batches_have_parts_of_their_own(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("hvae_sr.upscaling.noise_field.NOISE_PART", 3 * 16)
        field, columns = NoiseField(0, 4, 4, rows=8), slice(0, 4)
        whole = field.window(slice(0, 8), columns, columns)(torch.zeros(8, 1, 4, 4))
        part = field.window(slice(2, 7), columns, columns)(torch.zeros(5, 1, 4, 4))
        assert torch.equal(part, whole[2:7])
        assert len(whole.unique()) == whole.numel()


class TestMeasure:
    def test_the_context_is_what_moves_a_pixel(self):
        """By brute force: changing the image outside the context changes nothing."""
        model = shaken(tiny_hvae())
        radius = model.receptive_field
        lr, middle = random_images(1, 3, 8, 2 * radius + 9), radius + 4
        changed = lr.clone()
        changed[..., : middle - radius] = 0
        changed[..., middle + radius + 1 :] = 1
        cell = (..., slice(middle * 4, middle * 4 + 4))
        assert torch.allclose(model.upscale(lr)[cell], model.upscale(changed)[cell], atol=1e-6)

    def test_the_context_of_a_stack_of_convolutions_can_be_counted(self):
        """Three 3x3 convolutions at LR size, three at twice that: 3 + 1.5 pixels and a cell."""
        assert tiny_cnn().receptive_field == 5

    def test_pixels_alone_need_none_and_weights_that_are_zero_hide_nothing(self):
        assert Nearest().receptive_field == 0
        assert tiny_hvae().receptive_field == shaken(tiny_hvae()).receptive_field

    def test_rounding_hides_nothing(self):
        """A model that starts from a constant sees the rounded enlargement."""
        assert tiny_study_vae().receptive_field > 0

    def test_is_remembered_but_not_saved(self):
        model = tiny_cnn()
        before, config = set(model.state_dict()), dict(model.config)
        assert model.receptive_field == model.receptive_field
        assert set(model.state_dict()) == before and model.config == config


MODELS = {"StudyCNN": tiny_cnn, "HVAE": tiny_hvae}


class TestTiles:
    @pytest.mark.parametrize("name", MODELS)
    def test_tiled_equals_whole(self, name: str):
        model = shaken(MODELS[name]())
        tile = least(model)
        lr = random_images(2, 3, tile + 7, 2 * tile - 5)
        whole = model.upscale(lr)
        calls = Count(model)
        assert torch.allclose(model.upscale(lr, tile=tile), whole, atol=2e-5)
        assert len(calls.sizes) >= 4
        assert max(side for _, *sides in calls.sizes for side in sides) <= tile

    def test_samples_do_not_depend_on_tiles_nor_show_seams(self):
        model = shaken(tiny_hvae())
        tile = least(model)
        lr = random_images(1, 3, 30, 75)
        arguments: dict[str, Any] = {"num_samples": 2, "temperature": 1.0, "seed": 3}
        whole = model.upscale(lr, **arguments)
        for side in (tile, tile + 9):
            assert torch.allclose(model.upscale(lr, tile=side, **arguments), whole, atol=5e-5)
        assert not torch.allclose(whole[:, 0], whole[:, 1], atol=0.01)

    def test_levels_coarser_than_the_picture_are_padded_and_tiled(self):
        three = {"widths": [8] * 4, "groups": [1] * 4, "blocks": [0] * 4}
        model = shaken(tiny_hvae(2, start="constant", **three))
        assert model.size_multiple == 4
        for size in [(1, 1), (5, 7)]:
            assert model.upscale(torch.rand(1, 3, *size)).shape[-2:] == (2 * size[0], 2 * size[1])
        lr = random_images(1, 3, 8, least(model) + 31)
        arguments: dict[str, Any] = {"temperature": 1.0, "seed": 3}
        whole = model.upscale(lr, **arguments)
        assert torch.allclose(model.upscale(lr, tile=least(model), **arguments), whole, atol=5e-5)

    def test_a_constant_picture_stays_constant(self):
        lr = torch.full((1, 3, 61, 90), 77 / 255)
        assert torch.equal(
            quantise(Nearest().upscale(lr, tile=30)), quantise(Nearest().upscale(lr))
        )
        model = shaken(tiny_cnn())
        grey = torch.full((1, 3, 60, 90), 0.4)
        tiled, whole = model.upscale(grey, tile=least(model)), model.upscale(grey)
        assert torch.equal(quantise(tiled), quantise(whole))

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (333, 77), (3, 20_000), (40, 1)])
    def test_any_size(self, size: tuple[int, int]):
        lr = random_images(1, 3, *size)
        expected = lr.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        for tile in (None, 40):
            assert torch.allclose(Nearest().upscale(lr, tile=tile), expected, atol=1e-6)

    def test_no_border_is_darkened(self):
        white = Nearest().upscale(torch.ones(1, 3, 100, 100), tile=32)
        assert white.min() > 0.9999

    @pytest.mark.parametrize("tile", [0, -5, 1, 20])
    def test_tiles_too_small_are_refused(self, tile: int):
        with pytest.raises(ValueError, match="tile"):
            Nearest().upscale(torch.zeros(1, 3, 50, 50), tile=tile)

    def test_an_exception_in_a_tile_reaches_the_caller(self):
        model = Nearest()
        calls = Count(model, lambda lr, _: RuntimeError("bug") if len(calls.sizes) == 3 else None)
        with pytest.raises(RuntimeError, match="bug"):
            model.upscale(torch.zeros(1, 3, 90, 90), tile=40)

    def test_images_in_turn_and_in_threads_do_not_mix(self):
        model = shaken(tiny_hvae())
        pictures = [random_images(1, 3, 40, 60, seed=s) for s in range(3)]
        arguments: dict[str, Any] = {"tile": least(model), "temperature": 1.0, "seed": 1}
        alone = [model.upscale(picture, **arguments) for picture in pictures]
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(lambda p: model.upscale(p, **arguments), pictures))
        for one, other in zip(alone, together, strict=True):
            assert torch.equal(one, other)


class TestMemory:
    @pytest.mark.parametrize(
        "error",
        [torch.OutOfMemoryError("full"), MemoryError(), RuntimeError("DefaultCPUAllocator: no")],
    )
    def test_running_out_halves_the_tile(self, error: Exception):
        model, lr = Nearest(), random_images(1, 3, 90, 130)
        expected = model.upscale(lr)
        calls = Count(model, lambda lr, _: error if lr.shape[-1] > 50 else None)
        assert torch.allclose(model.upscale(lr), expected, atol=1e-6)
        sides = [width for *_, width in calls.sizes]
        assert sides[0] == 130 and 2 <= len(set(sides)) <= 3
        assert 25 <= max(sides[-4:]) <= 50

    def test_running_out_with_samples_first_takes_fewer_at_once(self):
        model, lr = shaken(tiny_hvae()), random_images(3, 3, 4, 5)
        arguments: dict[str, Any] = {"num_samples": 4, "seed": 0}
        expected = model.upscale(lr, **arguments)
        for most in (5, 3, 1):
            full = torch.OutOfMemoryError("full")
            calls = Count(model, lambda lr, s, e=full, m=most: e if len(lr) * s > m else None)
            assert torch.allclose(model.upscale(lr, **arguments), expected, atol=1e-5)
            fitting = [answers for answers, *_ in calls.sizes if answers <= most]
            assert sum(fitting) == 12 and len(fitting) < len(calls.sizes)
            model.draw = calls.inner  # type: ignore[method-assign]

    def test_running_out_with_the_smallest_tile_says_so(self):
        model = Nearest()
        Count(model, lambda *_: torch.OutOfMemoryError("full"))
        with pytest.raises(ImageError, match="memory"):
            model.upscale(torch.zeros(1, 3, 90, 90))

    def test_tiles_fit_the_memory_there_is(self, monkeypatch: pytest.MonkeyPatch):
        model, lr = shaken(tiny_cnn()), random_images(1, 3, 130, 140)
        expected = model.upscale(lr)
        assert model._footprint is not None
        calls = Count(model)
        monkeypatch.setattr(
            tiling, "available", lambda _: int(80**2 * model._footprint.memory / tiling.SHARE)
        )
        assert torch.allclose(model.upscale(lr), expected, atol=1e-5)
        assert len(calls.sizes) > 1
        assert max(side for _, *sides in calls.sizes for side in sides) <= 80


class TestPrecision:
    @pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
    def test_half_precision_is_close(self, dtype: Any):
        model, lr = shaken(tiny_hvae(), 0.02), smooth_images(1, 3, 8, 8)
        half, full = model.upscale(lr, dtype=dtype), model.upscale(lr)
        assert half.dtype == torch.float32
        assert 0 < float((half - full).abs().max()) < 0.03

    @pytest.mark.parametrize("name", TINY)
    def test_weights_in_half_precision_are_used_as_they_are(self, name: str):
        model, lr = shaken(TINY[name](), 0.02), smooth_images(1, 3, 8, 8)
        full = model.upscale(lr)
        half = model.bfloat16().upscale(lr)
        assert half.dtype == torch.float32 and torch.isfinite(half).all()
        assert 0 < float((half - full).abs().max()) < 0.03
        assert Upscaler(model)(lr).lr_psnr.shape == (1, 1)

    def test_half_weights_that_overflow_are_said(self):
        model = shaken(tiny_hvae(), 0.02).half()
        with torch.no_grad():
            next(model.parameters()).fill_(60_000)
        with pytest.raises(ModelError, match="not finite"):
            model.upscale(torch.ones(1, 3, 8, 8))

    def test_tiles_that_overflow_are_redone_in_float32(self):
        class Overflows(Nearest):
            def forward(self, lr: Tensor) -> Tensor:
                half = torch.is_autocast_enabled("cpu")
                return super().forward(lr) + (torch.inf if half and lr.max() > 0.5 else 0)

        lr = torch.zeros(1, 3, 60, 60)
        lr[..., -1, -1] = 0.9
        with pytest.warns(UserWarning, match="float32") as noted:
            answer = Overflows().upscale(lr, tile=40, dtype="bfloat16")
        assert len(noted) == 1
        assert torch.allclose(answer, Nearest().upscale(lr), atol=1e-6)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Overflows().upscale(lr)

    def test_values_that_are_not_finite_are_never_handed_out(self):
        with pytest.raises(ModelError, match="finite"):
            Nearest().upscale(torch.full((1, 3, 2, 2), torch.nan))

    def test_unknown_precisions_are_refused(self):
        for dtype in ("int8", torch.int32):
            with pytest.raises(ValueError, match="bfloat16"):
                Nearest().upscale(torch.zeros(1, 3, 2, 2), dtype=dtype)


class TestConsistent:
    def test_tiled_answers_shrink_to_the_input_and_keep_its_colour(self):
        model = shaken(tiny_cnn(), 0.02)
        lr = 0.2 + 0.6 * smooth_images(1, 3, 50, 60)
        answer = model.upscale(lr, tile=least(model), consistent=True)
        assert model.degradation is not None
        assert float((model.degradation.linear(answer) - lr).abs().max()) < 1e-3
        drift = answer.mean(dim=(2, 3)) - lr.mean(dim=(2, 3))
        assert float(drift.abs().max()) < 2e-3
        before = model.upscale(lr).mean(dim=(2, 3)) - lr.mean(dim=(2, 3))
        assert float(before.abs().max()) > 2 * float(drift.abs().max())


class TestUpscaler:
    def test_says_what_the_answers_have_in_common(self):
        model, lr = shaken(tiny_hvae()), smooth_images(2, 3, 5, 6)
        found = Upscaler(model)(lr, num_samples=3, temperature=0.7, seed=4)
        samples = model.upscale(lr, num_samples=3, temperature=0.7, seed=4)
        assert isinstance(found.images, Tensor) and torch.equal(found.images, samples)
        assert isinstance(found.mean, Tensor) and torch.allclose(found.mean, samples.mean(dim=1))
        assert (found.temperature, found.seed) == (0.7, 4)
        assert model.degradation is not None
        shrunk = model.degradation.linear(quantise(samples[1, 2:]))
        expected = -10 * (shrunk - lr[1:]).square().mean().log10()
        assert float(found.lr_psnr[1, 2]) == pytest.approx(float(expected), abs=1e-3)
        assert found.lr_psnr.shape == (2, 3)

    def test_the_seed_it_names_repeats_it(self):
        model, lr = shaken(tiny_hvae()), smooth_images(1, 3, 4, 4)
        one, other = (Upscaler(model)(lr, num_samples=8) for _ in range(2))
        assert one.seed != other.seed
        again = model.upscale(lr, num_samples=8, seed=one.seed)
        assert isinstance(one.images, Tensor) and torch.equal(one.images, again)

    def test_pillow_in_pillow_out(self):
        found = Upscaler(shaken(tiny_hvae()))(Image.new("LA", (5, 4), (90, 200)), num_samples=2)
        assert isinstance(found.mean, Image.Image) and isinstance(found.images, list)
        assert [picture.size for picture in (found.mean, *found.images)] == [(20, 16)] * 3
        assert found.mean.mode == found.images[0].mode
        assert found.std.shape == (1, 3, 16, 20)

    def test_a_model_with_one_answer_is_sure_of_it(self):
        model, lr = tiny_cnn(), smooth_images(1, 3, 4, 4)
        assert Upscaler(model)(lr).std is None
        with pytest.raises(ValueError, match="one answer"):
            Upscaler(model)(lr, num_samples=8)

    def test_identical_pictures_score_a_hundred_decibels(self):
        found = Upscaler(Nearest())(random_images(1, 3, 4, 4), num_samples=1, temperature=0)
        assert float(found.lr_psnr) == pytest.approx(100)

    def test_options_hold_for_every_call_and_keywords_replace_them(self):
        model, lr = shaken(tiny_hvae()), smooth_images(1, 3, 4, 4)
        upscaler = Upscaler(model, UpscaleOptions(num_samples=2, seed=3))
        assert torch.equal(upscaler(lr).images, model.upscale(lr, num_samples=2, seed=3))
        assert torch.equal(upscaler(lr, seed=4).images, model.upscale(lr, num_samples=2, seed=4))
        assert upscaler(lr).seed == 3

    def test_a_blind_degradation_has_no_consistency(self):
        model, lr = Nearest(degradation="blind"), smooth_images(1, 3, 4, 4)
        assert Upscaler(model)(lr).lr_psnr is None
        with pytest.raises(ValueError, match="'blind' is not linear"):
            model.upscale(lr, consistent=True)


class TestDecode:
    """Samples of the likelihood, and the deviation that counts it in."""

    def test_a_sample_of_the_likelihood_has_8_bit_values(self):
        model, lr = shaken(tiny_hvae()), smooth_images(2, 3, 5, 6)
        drawn = model.upscale(lr, num_samples=3, temperature=1.0, seed=0, decode="sample")
        assert torch.allclose(drawn * 255, (drawn * 255).round(), atol=1e-3)
        mean = model.upscale(lr, num_samples=3, temperature=1.0, seed=0)
        assert not torch.allclose(drawn, mean, atol=0.02)
        again = model.upscale(lr, num_samples=3, temperature=1.0, seed=0, decode="sample")
        assert torch.equal(drawn, again)

    def test_at_temperature_zero_both_are_the_best_guess(self):
        model, lr = shaken(tiny_hvae()), smooth_images(1, 3, 4, 4)
        assert torch.equal(model.upscale(lr, decode="sample"), model.upscale(lr))

    def test_tiles_change_nothing(self):
        """The likelihood's noise belongs to HR pixels as the latents' noise belongs to places."""
        model, lr = shaken(tiny_hvae(), 0.02), smooth_images(1, 3, 60, 70)
        wanted = {"temperature": 1.0, "seed": 3, "decode": "sample"}
        whole, tiled = model.upscale(lr, **wanted), model.upscale(lr, tile=least(model), **wanted)
        assert (whole - tiled).abs().mean() < 2e-4
        assert ((whole - tiled).abs() > 2 / 255).float().mean() < 1e-3

    def test_what_is_neither_is_refused(self):
        with pytest.raises(ValueError, match="decode must be one of"):
            tiny_hvae().upscale(torch.zeros(1, 3, 4, 4), decode="mode")
        with pytest.raises(ValueError, match="one answer"):
            tiny_cnn().upscale(torch.zeros(1, 3, 4, 4), decode="sample")

    def test_unconditional_samples_may_be_drawn_from_the_likelihood(self):
        model = shaken(tiny_hvae()).with_lr_prior(shaken(tiny_lr_prior()))
        for joint in (model, shaken(tiny_srvae())):
            drawn = joint.sample(2, size=(16, 16), seed=0, decode="sample")
            assert torch.allclose(drawn * 255, (drawn * 255).round(), atol=1e-3)
            assert not torch.allclose(drawn, joint.sample(2, size=(16, 16), seed=0), atol=0.02)

    def test_the_deviation_is_the_one_of_samples_of_the_model(self):
        """Law of total variance, against 4,000 draws of the whole model, away from 0 and 1."""
        model = shaken(tiny_hvae(likelihood="gaussian"), 0.05)
        lr = torch.full((1, 3, 2, 2), 0.5)
        options = UpscaleOptions(num_samples=4000, temperature=1.0, seed=0)
        found = Upscaler(model, options)(lr)
        drawn = model.upscale(lr, num_samples=4000, temperature=1.0, seed=1, decode="sample")
        assert ((drawn == 0) | (drawn == 1)).float().mean() < 1e-3
        assert torch.allclose(found.std, drawn.std(dim=1), rtol=0.1)
        assert (found.std > 1.2 * found.images.std(dim=1)).any(), "the likelihood adds nothing"

    def test_at_temperature_zero_it_is_the_likelihoods_alone(self):
        model, lr = shaken(tiny_hvae()), smooth_images(1, 3, 4, 4)
        found = Upscaler(model)(lr)
        with torch.no_grad():
            features, _ = model.top_down(lr, None, LatentSource(temperature=0.0))
            expected = model.variance(features).sqrt()
        assert torch.allclose(found.std, expected, rtol=1e-4)

    def test_of_consistent_outputs_it_is_estimated_from_projected_draws(self):
        model, lr = shaken(tiny_hvae(), 0.02), 0.2 + 0.6 * smooth_images(1, 3, 4, 4)
        wanted = {"num_samples": 8, "temperature": 1.0, "seed": 2, "consistent": True}
        found = Upscaler(model)(lr, **wanted)
        draws = model.upscale(lr, decode="sample", **wanted)
        assert torch.allclose(found.std, draws.std(dim=1), atol=1e-5)
        assert Upscaler(model)(lr, consistent=True).std is None


def test_progress_counts_every_pass() -> None:
    said: list[tuple[int, int]] = []
    upscaler = Upscaler(Nearest(), progress=lambda done, total: said.append((done, total)))
    upscaler.images(torch.rand(1, 3, 100, 60), tile=40)
    assert len(said) > 4
    assert said == [(n, len(said)) for n in range(1, len(said) + 1)]
