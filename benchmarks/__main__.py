"""`python -m benchmarks NAME ...` runs the module of that name in this folder."""

import pkgutil
import sys
from importlib import import_module
from pathlib import Path


def names() -> list[str]:
    """The commands: the modules beside this one that are not private."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(m.name for m in found if not m.ispkg and not m.name.startswith("_"))


def main(arguments: list[str]) -> int:
    """Exit code of the named command; without a known name, the list of them."""
    name = arguments[0] if arguments else ""
    if name in names():
        result: int = import_module(f"benchmarks.{name}").main(arguments[1:])
        return result
    asked_for_help = name in ("-h", "--help")
    out = sys.stdout if asked_for_help else sys.stderr
    print(f"usage: python -m benchmarks {{{','.join(names())}}} ...", file=out)
    return 0 if asked_for_help else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
