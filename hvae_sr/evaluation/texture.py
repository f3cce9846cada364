"""Do samples look and spread as the truth does: texture of residuals, calibration of samples.

Both need no network. The residual of an image is its difference from the best single estimate, the
answer at T = 0. Independent noise and texture can have one root mean square; what tells them
apart is how the residual goes on from pixel to pixel, its autocorrelation.

Figures are ratios of sums over a data set, so that flat images do no harm.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hvae_sr.evaluation.markdown import table

LAGS = (1, 2, 4, 6, 8)  # pixels
INTERVAL = 0.9  # of the samples' distribution at each pixel
EQUAL = 1e-4  # values closer than this, a fortieth of an 8-bit step, are one value


class Texture:
    """Root mean square and autocorrelation of residuals, from running sums."""

    def __init__(self) -> None:
        self.squares = 0.0
        self.values = 0
        self.products = dict.fromkeys(LAGS, 0.0)
        self.pairs = dict.fromkeys(LAGS, 0)

    def add(self, residual: Tensor) -> None:
        """Residuals (..., H, W) in units of [0, 1]."""
        self.squares += float(residual.square().sum(dtype=torch.float64))
        self.values += residual.numel()
        for lag in LAGS:
            for axis in (-2, -1):
                distant = residual.shape[axis] - lag
                if distant > 0:
                    near, far = (
                        residual.narrow(axis, 0, distant),
                        residual.narrow(axis, lag, distant),
                    )
                    self.products[lag] += float((near * far).sum(dtype=torch.float64))
                    self.pairs[lag] += near.numel()

    def result(self) -> dict[str, Any]:
        """`rms` in units of 255, and `autocorrelation` by lag in pixels, from -1 to 1.

        The autocorrelation is the mean product of residuals so many pixels apart, horizontally and
        vertically together, over their mean square; their mean is not subtracted. A lag that no
        image is wide enough for is left out, as all are where the residual is zero.
        """
        power = self.squares / self.values
        return {
            "rms": 255 * math.sqrt(power),
            "autocorrelation": {
                str(lag): self.products[lag] / self.pairs[lag] / power
                for lag in LAGS
                if self.pairs[lag] and power > 0
            },
        }


class Calibration:
    """Is the truth one more sample? Spread against error, and coverage of an interval.

    Args:
        count: samples of each image, at least 2.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.images = self.values = 0
        self.deviation = self.variance = self.error = self.covered = 0.0

    def add(self, samples: Tensor, hr: Tensor) -> None:
        """Samples (N, S, ...) of images (N, ...), both in [0, 1]."""
        self.images += len(hr)
        self.values += hr.numel()
        variance = samples.var(dim=1)
        self.variance += float(variance.sum(dtype=torch.float64))
        self.deviation += float(variance.sqrt().mean()) * len(hr)
        self.error += float((samples.mean(dim=1) - hr).square().sum(dtype=torch.float64))
        self.covered += float(_coverage(samples, hr).sum(dtype=torch.float64))

    def result(self) -> dict[str, float | None]:
        """How many `samples`, and what they say.

        `deviation` is their standard deviation in units of 255: mean over values, then images.

        `std_over_rmse` is the samples' root mean variance over the RMSE of their mean, times
        sqrt(1 + 1 / count), as the mean of a few samples errs more than that of many (Fortin et
        al. 2014, "Why should ensemble spread match the RMSE of the ensemble mean?"). It is None
        where the mean makes no error.

        `coverage` is the share of colour values inside the central 90 % interval of their samples.
        That of n samples holds 0.9 (n - 1) / (n + 1) of a perfect sampler's, `ideal_coverage`,
        whatever the distribution: 0.88 for 100 samples, 0.70 for 8.
        """
        spread = math.sqrt(self.variance * (1 + 1 / self.count))
        return {
            "samples": self.count,
            "deviation": 255 * self.deviation / self.images,
            "std_over_rmse": spread / math.sqrt(self.error) if self.error else None,
            "coverage": self.covered / self.values,
            "ideal_coverage": INTERVAL * (self.count - 1) / (self.count + 1),
        }


def _coverage(samples: Tensor, hr: Tensor) -> Tensor:
    """How much of each value (N, ...) the central interval of its samples (N, S, ...) holds.

    The interval's ends are quantiles between two sorted samples. A value in such a gap counts by
    the share of the gap that belongs to the interval, and one that equals samples, as 8-bit values
    do, by the mean over the ranks that it may have: so a perfect sampler covers as much of discrete
    values as of continuous ones.
    """
    count = samples.shape[1]
    gaps = torch.arange(-1, count, dtype=torch.float64)  # where the gap below each sample begins
    tail = (1 - INTERVAL) / 2 * (count - 1)
    shares = ((gaps + 1).clamp_max(count - 1 - tail) - gaps.clamp_min(tail)).clamp(0, 1)
    sums = torch.cat([shares.new_zeros(1), shares.cumsum(0)]).float().to(hr.device)
    difference = samples - hr.unsqueeze(1)
    lowest = (difference < -EQUAL).sum(dim=1)
    highest = (difference <= EQUAL).sum(dim=1)
    return (sums[highest + 1] - sums[lowest]) / (highest - lowest + 1)


class SampleFigures:
    """Texture and calibration of a generative model over a data set.

    Args:
        count: samples of p(x | y) of each image, behind its calibration.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.textures: dict[str, Texture] = {}
        self.calibration = Calibration(count)

    def add(self, hr: Tensor, best: Tensor, outputs: Mapping[str, Tensor], samples: Tensor) -> None:
        """One batch.

        Args:
            hr, best: the originals, and the outputs at T = 0, (N, 3, H, W).
            outputs: by their names, those whose texture is measured, (N, any number, 3, H, W).
            samples: of p(x | y), which needs `decode="sample"` at T = 1: (N, count, 3, H, W).
        """
        for name, drawn in {"original": hr.unsqueeze(1), **outputs}.items():
            self.textures.setdefault(name, Texture()).add(drawn - best.unsqueeze(1))
        self.calibration.add(samples, hr)

    def result(self) -> dict[str, Any]:
        """What a report holds: `texture` and `calibration`."""
        return {
            "texture": {name: texture.result() for name, texture in self.textures.items()},
            "calibration": self.calibration.result(),
        }


def markdown(report: dict[str, Any]) -> list[str]:
    """The lines of a report's `texture` and `calibration`; none for reports without them."""
    if "texture" not in report:
        return []
    head = ["residual against T = 0", "rms (of 255)", *(f"lag {lag}" for lag in LAGS)]
    rows = []
    for name, texture in report["texture"].items():
        lags = [texture["autocorrelation"].get(str(lag)) for lag in LAGS]
        cells = ["" if lag is None else f"{lag:z.2f}" for lag in lags]
        rows.append([name, f"{texture['rms']:.1f}", *cells])
    figures = report["calibration"]
    ratio = figures["std_over_rmse"]
    head_of_calibration = [
        "calibration of",
        "standard deviation (of 255)",
        "over RMSE (ideal 1)",
        f"in their {INTERVAL:.0%} interval",
        f"ideal for {figures['samples']}",
    ]
    cells = [
        f"{figures['samples']} samples of x given y per image",
        f"{figures['deviation']:.1f}",
        "not defined" if ratio is None else f"{ratio:.2f}",
        f"{figures['coverage']:.1%}",
        f"{figures['ideal_coverage']:.1%}",
    ]
    return ["", table(head, rows), "", table(head_of_calibration, [cells])]
