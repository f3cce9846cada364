"""Gradients far larger than those before them are left out, and training never stops for it."""

import math

import pytest
import torch

from hvae_sr.training.outliers import FIRST, PATIENCE, Outliers

CPU = torch.device("cpu")


def passed(outliers: Outliers, norms: list[float]) -> list[bool]:
    return [bool(outliers.passes(torch.tensor(norm))) for norm in norms]


def test_without_a_factor_every_finite_gradient_passes():
    assert passed(Outliers(None, CPU), [1.0, 1e9, math.inf, math.nan, 0.0]) == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_one_outlier_is_left_out_and_the_next_ones_are_not():
    outliers = Outliers(10.0, CPU)
    assert all(passed(outliers, [1.0, 2.0, 0.5] * 20))
    assert passed(outliers, [50.0, 1.0, 9.0, 1e6, 1.0]) == [False, True, True, False, True]


def test_the_first_steps_all_pass():
    assert all(passed(Outliers(2.0, CPU), [10.0**step for step in range(FIRST)]))


def test_norms_that_stay_large_are_taken_after_a_while():
    """A fixed norm would leave out every step from here on."""
    outliers = Outliers(3.0, CPU)
    passed(outliers, [1.0] * 50)
    later = passed(outliers, [1000.0] * 600)
    assert later[:PATIENCE] == [False] * PATIENCE and later[PATIENCE]
    assert all(later[-100:])


def test_norms_that_are_not_finite_do_not_pass_and_leave_no_trace():
    outliers = Outliers(10.0, CPU)
    passed(outliers, [1.0] * 30)
    before = outliers.state()
    assert passed(outliers, [math.nan, math.inf]) == [False, False]
    assert outliers.state()[:2] == before[:2]


def test_it_goes_on_from_its_state_exactly():
    norms = (10 ** torch.randn(200, generator=torch.Generator().manual_seed(0))).tolist()
    whole = Outliers(4.0, CPU)
    first, expected = passed(whole, norms[:90]), passed(whole, norms[90:])
    assert False in first
    before, after = Outliers(4.0, CPU), Outliers(4.0, CPU)
    passed(before, norms[:90])
    after.restore(before.state())
    assert passed(after, norms[90:]) == expected


@pytest.mark.parametrize("factor", [1.0, 0.0, -1.0, math.nan])
def test_factors_that_mean_nothing_are_refused(factor: float):
    with pytest.raises(ValueError, match="skip_above"):
        Outliers(factor, CPU)
