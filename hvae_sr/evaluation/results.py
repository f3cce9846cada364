"""Reading what `evaluate` measured: `results.json`, of one data set or of several."""

import json
from pathlib import Path
from typing import Any

from hvae_sr.errors import ModelError
from hvae_sr.storage.cards import RESULTS
from hvae_sr.storage.shelf import bundled

Report = dict[str, Any]  # of one data set
Results = dict[str, Any]  # a report, or `sets` with one for each data set


def read(path: Path) -> dict[str, Any]:
    """The content of a JSON file.

    Raises:
        ModelError: naming the file when it is missing or is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is missing or is not JSON: {error}") from error
    return content


def of_bundled() -> dict[str, Results]:
    """The results of every bundled model that has some, by its name."""
    return {
        name: read(folder / RESULTS)
        for name, folder in bundled().items()
        if (folder / RESULTS).is_file()
    }


def by_set(results: Results) -> dict[str, Report]:
    """The reports by the name of their data set."""
    sets: dict[str, Report] = results.get("sets", {results.get("data"): results})
    return sets


def first_of(results: Results) -> Report:
    """The report of the first data set."""
    return next(iter(by_set(results).values()))


def space_of(report: Report) -> str:
    """`rgb` or `y`; the first reports were all RGB and did not say so."""
    return str(report.get("space", "rgb"))


def best_answer(report: Report) -> str:
    """What the answer is called that is the model's single best estimate."""
    return "T = 0" if "T = 0" in report["scores"] else "model"


def headline(folder: Path) -> str | None:
    """Data set and PSNR of a model's best answer, as "Set5 31.22 dB"; None when never scored.

    Raises:
        ModelError: when the results are not JSON.
    """
    if not (folder / RESULTS).is_file():
        return None
    name, report = next(iter(by_set(read(folder / RESULTS)).items()))
    return f"{name} {report['scores'][best_answer(report)]['psnr']:.2f} dB"
