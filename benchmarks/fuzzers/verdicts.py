"""What may come of a damaged thing: the right result or one sentence, and nothing else."""

import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hvae_sr.errors import HvaeSrError

LONGEST = 600  # characters of a sentence


class Verdict(StrEnum):
    RESULT = "results"
    SENTENCE = "sentences"
    TRACEBACK = "tracebacks"
    WRONG = "wrong results"
    LEFTOVER = "leftovers"


FAULTS = (Verdict.TRACEBACK, Verdict.WRONG, Verdict.LEFTOVER)


@dataclass(frozen=True)
class Outcome:
    """What came of one case: a verdict, and in a few words what was seen."""

    case: str
    verdict: Verdict
    seen: str = ""


def judged(
    case: str,
    call: Callable[[], Any],
    right: Callable[[Any], bool] = lambda result: True,
    refusals: tuple[type[BaseException], ...] = (HvaeSrError,),
) -> Outcome:
    """Run one case.

    Args:
        call: gives a result, or says why not.
        right: whether a result is one that may come.
        refusals: errors that are made for people; their message has to be one short line.
    """
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            result = call()
    except refusals as error:
        said = str(error)
        whole = 0 < len(said) <= LONGEST and "\n" not in said
        return Outcome(
            case, Verdict.SENTENCE if whole else Verdict.TRACEBACK, repr(error)[:LONGEST]
        )
    except Exception as error:  # the finding that this is for
        return Outcome(case, Verdict.TRACEBACK, f"{type(error).__name__}: {error}"[:LONGEST])
    if right(result):
        return Outcome(case, Verdict.RESULT)
    return Outcome(case, Verdict.WRONG, repr(result)[:LONGEST])


def counted(outcomes: Iterable[Outcome]) -> Counter[Verdict]:
    return Counter(outcome.verdict for outcome in outcomes)
