"""Start the demo and print what load, attacks and faults do to it, as Markdown tables.

    python -m benchmarks check-demo --requests 200

Only this machine is asked, at loopback addresses.
"""

import tempfile
from pathlib import Path

from benchmarks import parser
from benchmarks.demo_checks.faults import faults
from benchmarks.demo_checks.hostile import refused
from benchmarks.demo_checks.load import PEOPLE, SESSIONS, beside, crowded, sessions
from benchmarks.demo_checks.visitors import served
from hvae_sr.evaluation.markdown import table


def report(requests: int = 200) -> str:
    """Start the demo in a process of its own and put it to every test, as Markdown.

    Args:
        requests: answers over which memory and times are watched.
    """
    with tempfile.TemporaryDirectory() as name, served() as (address, process):
        folder = Path(name)
        crowd = crowded(address, process, folder, requests)
        tries = refused(address, folder)
        head = ("asked", "answered rightly", "median", "95 of 100 within", "memory")
        besides = beside(address, folder)
        many = sessions(address, process)
        return "\n\n".join(
            [
                f"{PEOPLE} clients at once, every request in a new session, every image new:",
                table(head, [crowd.row()]),
                f"{SESSIONS} sessions that ask for a small event each: resident memory",
                table(("before", "after"), [many]),
                "Another client's answers while the worst upload known is refused:",
                table(("usually", "meanwhile", "refused"), [besides]),
                f"{len(tries)} bad inputs, and what is said to them:",
                table(("input", "answer"), tries),
                "Faults, and what becomes of them:",
                table(("fault", "outcome"), faults(address, process, folder)),
            ]
        )


def main(arguments: list[str]) -> None:
    made = parser("check-demo", __doc__)
    made.add_argument(
        "--requests", type=int, default=200, help="answers over which times and memory are watched"
    )
    requests = made.parse_args(arguments).requests
    if requests < 20:
        raise ValueError(f"--requests must be at least 20, not {requests}")
    print(report(requests))
