"""Damage what people hand over, and count what is neither a result nor a sentence.

    python -m benchmarks fuzz --out docs/fuzz.md
    python -m benchmarks fuzz images configs --share 0.02

Damaged image files, odd configs, odd calls of the API, options of a training that do not go
together, and commands ended in mid-work. Every case has a number; the same seed gives the same
cases. The exit code is 1 when there is a finding.
"""

import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks import parser
from benchmarks.fuzzers import calls, configs, images, kills, options
from benchmarks.fuzzers.verdicts import FAULTS, Outcome, Verdict, counted
from hvae_sr.errors import TrainingError
from hvae_sr.evaluation.markdown import table

KINDS = {"images": images, "configs": configs, "calls": calls, "options": options, "kills": kills}
TITLES = {
    "images": "damaged image files",
    "configs": "configs with odd values",
    "calls": "calls with an odd argument",
    "options": "trainings with odd options",
    "kills": "commands ended in mid-work",
}


def outcomes(kind: str, share: float, seed: int) -> list[Outcome]:
    """What came of every case of one kind.

    Args:
        share: of the full count, above 0 to 1.
    """
    module = KINDS[kind]
    count = max(1, round(module.COUNT * share))
    with tempfile.TemporaryDirectory() as scratch:
        cases = module.run(count, seed, Path(scratch))
        return list(tqdm(cases, total=count, desc=kind, unit="case", disable=None))


def page(found: dict[str, list[Outcome]], seconds: dict[str, float], command: str) -> str:
    """The counts as a Markdown page, and every finding by name."""
    rows = [
        [TITLES[kind], f"{len(each):,}"]
        + [f"{counted(each)[verdict]:,}" for verdict in Verdict]
        + [f"{seconds[kind]:.0f} s"]
        for kind, each in found.items()
    ]
    head = ["what", "cases", *(str(verdict) for verdict in Verdict), "time"]
    findings = [
        f"- {each.verdict}: {each.case}: `{each.seen}`"
        for every in found.values()
        for each in every
        if each.verdict in FAULTS
    ]
    return "\n".join(
        [
            "# What damaged things give",
            "",
            "A result, or one sentence that says what is wrong; all else is a fault. Made by",
            "",
            f"```bash\n{command}\n```",
            "",
            table(head, rows),
            "",
            *(["Findings:", "", *findings] if findings else ["No findings."]),
            "",
        ]
    )


def main(arguments: list[str]) -> None:
    made = parser("fuzz", __doc__)
    made.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all when left out")
    made.add_argument("--share", type=float, default=1.0, help="of the full counts")
    made.add_argument("--seed", type=int, default=0, help="of all damage")
    made.add_argument("--out", type=Path, help="page to write; printed when left out")
    given = made.parse_args(arguments)
    if unknown := set(given.kinds) - set(KINDS):
        made.error(f"no such kind: {', '.join(sorted(unknown))}")
    found, seconds = {}, {}
    for kind in given.kinds or KINDS:
        start = time.perf_counter()
        found[kind] = outcomes(kind, given.share, given.seed)
        seconds[kind] = time.perf_counter() - start
    words = [
        "python -m benchmarks fuzz",
        *given.kinds,
        f"--share {given.share:g} --seed {given.seed}",
    ]
    text = page(found, seconds, " ".join(words))
    if given.out is None:
        print(text, end="")
    else:
        given.out.write_text(text)
    faults = sum(each.verdict in FAULTS for every in found.values() for each in every)
    if faults:
        raise TrainingError(f"{faults} findings: see the page")


if __name__ == "__main__":
    main(sys.argv[1:])
