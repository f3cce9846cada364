"""A seeded share of `python -m benchmarks fuzz`: results and sentences, and nothing else."""

from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.fuzzers import images, kills
from benchmarks.fuzzers.verdicts import FAULTS, Outcome, Verdict, judged
from hvae_sr.errors import ImageError, ModelError

SHARE = 0.02


def findings(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.verdict in FAULTS]


@pytest.mark.parametrize("kind", ["images", "configs", "options"])
def test_a_share_gives_results_and_sentences_alone(kind: str) -> None:
    found = fuzz.outcomes(kind, SHARE, seed=1)
    assert len(found) >= round(fuzz.KINDS[kind].COUNT * SHARE)
    assert findings(found) == []


def test_every_call_has_a_result_or_a_sentence() -> None:
    assert findings(fuzz.outcomes("calls", 1.0, seed=0)) == []


def test_a_folder_survives_a_signal(tmp_path: Path) -> None:
    (outcome,) = kills.run(1, seed=0, scratch=tmp_path)
    assert outcome.verdict is Verdict.RESULT, outcome


def test_whole_files_of_every_kind_are_opened(tmp_path: Path) -> None:
    found = list(images.run(0, seed=0, scratch=tmp_path))
    assert len(found) > 25 and {each.verdict for each in found} == {Verdict.RESULT}


def test_the_same_seed_damages_alike(tmp_path: Path) -> None:
    first, second = (list(images.run(40, seed=3, scratch=tmp_path)) for _ in range(2))
    assert first == second


def test_what_a_verdict_is() -> None:
    def refuses(error: BaseException) -> Outcome:
        def call() -> None:
            raise error

        return judged("case", call)

    assert refuses(ModelError("one sentence")).verdict is Verdict.SENTENCE
    assert refuses(ImageError("two\nlines")).verdict is Verdict.TRACEBACK
    assert refuses(ImageError("")).verdict is Verdict.TRACEBACK
    assert refuses(KeyError("key")).verdict is Verdict.TRACEBACK
    assert judged("case", lambda: 3).verdict is Verdict.RESULT
    assert judged("case", lambda: 3, lambda result: result == 4).verdict is Verdict.WRONG


def test_the_page_counts_and_names_findings() -> None:
    found = {"calls": [Outcome("a", Verdict.RESULT), Outcome("b", Verdict.WRONG, "3")]}
    page = fuzz.page(found, {"calls": 2.0}, "the command")
    assert "| calls with an odd argument | 2 | 1 | 0 | 0 | 1 | 0 | 2 s |" in page
    assert "- wrong results: b: `3`" in page
    assert "No findings." in fuzz.page({"calls": found["calls"][:1]}, {"calls": 1.0}, "it")
