"""The Markdown that is made of results: of one model in full, and of many side by side."""

from collections.abc import Mapping
from typing import Any

from hvae_sr.evaluation import learned, texture
from hvae_sr.evaluation.bounds import CROP
from hvae_sr.evaluation.markdown import table
from hvae_sr.evaluation.results import (
    Report,
    Results,
    best_answer,
    by_set,
    first_of,
    of_bundled,
    space_of,
)

SHARPNESS = (
    "Sharpness: the energy above the Nyquist frequency of the LR image, as a share of the "
    "original's."
)
BASELINES = ("bicubic", "bicubic, projected", "linear MMSE")


def markdown(results: Results) -> str:
    """Results of `evaluate` or `evaluate_all`, for each data set: scores, then bits."""
    if "sets" not in results:
        return _section(results)
    return "\n".join(
        f"### {name}\n\n{_section(report)}" for name, report in results["sets"].items()
    )


def convention(report: Report) -> str:
    """How images were compared, in words."""
    if space_of(report) == "rgb":
        return "RGB, rounded to 8 bits"
    return (
        f"Y of BT.601 (16 to 235), a border of {report['scale']} pixels shaved, grey files on "
        "their grey values, rounded to 8 bits, SSIM where its window fits, LR-PSNR on RGB"
    )


def _section(report: Report) -> str:
    sharp = any("sharpness" in scores for scores in report["scores"].values())
    lines = [
        f"x{report['scale']}, degradation `{report['degradation']}`, {report['images']:,} "
        f"images of {report['data']}; {convention(report)}, averaged per image."
        + (f" {SHARPNESS}" if sharp else ""),
        "",
        _scores(report),
    ]
    if "sample_deviation" in report:  # before calibration was measured, on samples of x given y
        lines += [
            "",
            "Mean standard deviation of T = 1 outputs, without the likelihood's own share: "
            f"{report['sample_deviation']:.1f} of 255.",
        ]
    if "bits" in report:
        lines += [*texture.markdown(report), *learned.markdown(report), "", _bits(report)]
    return "\n".join(lines) + "\n"


def _scores(report: Report) -> str:
    columns = [("PSNR (dB)", "psnr", ".2f"), ("SSIM", "ssim", ".4f")]
    columns += [("LR-PSNR (dB)", "lr_psnr", ".1f")]
    columns += [("MSE", "mse", ".4f")] if space_of(report) == "rgb" else []
    columns += [("sharpness", "sharpness", ".2f")]
    columns += learned.columns(report)
    measured = {key for scores in report["scores"].values() for key in scores}
    columns = [column for column in columns if column[1] in measured]
    rows = [
        [name, *(f"{scores[key]:{form}}" if key in scores else "" for _, key, form in columns)]
        for name, scores in report["scores"].items()
    ]
    return table(["answer", *(title for title, _, _ in columns)], rows)


def _bits(report: Report) -> str:
    crops = f", {CROP}x{CROP} centre crops" if space_of(report) == "y" else ""
    head = [
        f"bits per colour value{crops}",
        "total = distortion + rate",
        "importance-weighted",
        "rates",
    ]
    return table(head, [_bits_row(*item) for item in report["bits"].items()])


def _bits_row(name: str, bits: dict[str, Any]) -> list[str]:
    bound = bits.get("importance_weighted")
    if "distortion" not in bits:
        both = f"{bound:.2f}" if bound is not None else ""
        return [f"of {name}, both parts", f"{bits['total']:.2f}", both, ""]
    shown = f"{bound:.2f} ({bits['draws']} draws)" if bound is not None else "not measured"
    rates = ", ".join(f"{rate:.3f}" for rate in bits["rates"])
    split = f"{bits['total']:.2f} = {bits['distortion']:.2f} + {bits['rate']:.2f}"
    return [f"of {name}", split, shown, rates]


def bundled_tables() -> list[str]:
    """All scored bundled models: thumbnails, then photographs."""
    every = of_bundled()
    first = {name: first_of(results) for name, results in every.items()}
    small = {name: report for name, report in first.items() if space_of(report) == "rgb"}
    large = {name: every[name] for name in first if name not in small}
    return [make(models) for make, models in ((thumbnails, small), (photographs, large)) if models]


def thumbnails(models: Mapping[str, Report]) -> str:
    """Models of thumbnails by name, with the report of one data set each, as one table."""
    head = ["model", "class", "parameters", "PSNR T = 0", "T = 0.8", "T = 1", "mean of 16"]
    head += ["SSIM T = 0", "bits/dim of x given y", "bits/dim of x"]
    baselines = next(iter(models.values()))["scores"]
    rows = [
        [f"*{name}*", "", "", f"{scores['psnr']:.2f}", "", "", "", f"{scores['ssim']:.3f}", "", ""]
        for name, scores in baselines.items()
        if name in BASELINES
    ]
    return table(head, rows + [_thumbnail_row(name, report) for name, report in models.items()])


def _thumbnail_row(name: str, report: Report) -> list[str]:
    scores, bits = report["scores"], report.get("bits", {})
    best = scores[best_answer(report)]
    others = [
        f"{scores[key]['psnr']:.2f}" if key in scores else ""
        for key in ("T = 0.8", "T = 1", "mean of 16")
    ]
    totals = [f"{bits[key]['total']:.2f}" if key in bits else "" for key in ("x given y", "x")]
    return [
        f"`{name}`",
        report["model_class"],
        f"{report['parameters'] / 1e6:.2f} M",
        f"{best['psnr']:.2f}",
        *others,
        f"{best['ssim']:.3f}",
        *totals,
    ]


def photographs(models: Mapping[str, Results]) -> str:
    """Models of photographs by name, with the content of their `results.json`, as one table.

    A line for each answer; PSNR / SSIM for each data set, and the lowest LR-PSNR of them. The
    models of one scale stand below bicubic interpolation at that scale.
    """
    names = list(dict.fromkeys(name for results in models.values() for name in by_set(results)))
    tasks: dict[tuple[int, str], dict[str, dict[str, Report]]] = {}
    for model, results in models.items():
        report = first_of(results)
        tasks.setdefault((report["scale"], report["degradation"]), {})[model] = by_set(results)
    rows: list[list[str]] = []
    for (scale, degradation), members in sorted(tasks.items()):
        baseline: dict[str, Report] = {}
        for sets in members.values():
            baseline = {**sets, **baseline}
        rows.append([f"*x{scale}, {degradation}*", "", *_scored(baseline, "bicubic", names)])
        for model, sets in members.items():
            rows += _photograph_rows(model, sets, names)
    return table(["model", "parameters", "answer", *names, "LR-PSNR"], rows)


def _photograph_rows(model: str, sets: dict[str, Report], names: list[str]) -> list[list[str]]:
    """A row for each answer that an overview shows, the best one first and with the name."""
    report = next(iter(sets.values()))
    scores = report["scores"]
    means = [name for name in scores if name.startswith("mean of") and "projected" not in name]
    shown = ["model", "T = 0", *means, "T = 0.8, projected", "T = 1"]
    rows = [["", "", *_scored(sets, name, names)] for name in shown if name in scores]
    rows[0][:2] = [f"`{model}`", f"{report['parameters'] / 1e6:.2f} M"]
    return rows


def _scored(sets: dict[str, Report], answer: str, names: list[str]) -> list[str]:
    """The cells of one answer: its name, PSNR / SSIM for each data set, the lowest LR-PSNR."""
    found = {name: sets[name]["scores"].get(answer) for name in names if name in sets}
    scores = {name: score for name, score in found.items() if score is not None}
    cells = [
        f"{scores[name]['psnr']:.2f} / {scores[name]['ssim']:.4f}" if name in scores else ""
        for name in names
    ]
    consistency = [score["lr_psnr"] for score in scores.values() if "lr_psnr" in score]
    return [answer, *cells, f"{min(consistency):.1f}" if consistency else ""]
