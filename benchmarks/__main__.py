"""`python -m benchmarks NAME ...` runs the module of that name in this folder."""

import ast
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

from hvae_sr.errors import HvaeSrError

FOLDER = Path(__file__).parent
USAGE = "usage: python -m benchmarks NAME ..."
INTERRUPTED = 130  # what shells report of a command that Ctrl-C ended


def names() -> list[str]:
    """The commands: the modules beside this one that are not private, with dashes."""
    found = pkgutil.iter_modules([str(FOLDER)])
    public = (m.name for m in found if not m.ispkg and not m.name.startswith("_"))
    return sorted(name.replace("_", "-") for name in public)


def _file(name: str) -> str:
    return name.replace("-", "_")


def described(name: str) -> str:
    """The first line of a command's docstring, read without importing it."""
    text = (FOLDER / f"{_file(name)}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def listed() -> str:
    """Every command with a line each."""
    every = names()
    width = max(map(len, every))
    return "\n".join([USAGE, "", *(f"  {name:{width}}  {described(name)}" for name in every)])


def main(arguments: list[str]) -> int:
    """Run the named command, or list them all when there is no such name.

    Returns:
        the exit code: 0 done, 1 with one sentence on stderr for what a person can mend, 2 for a
        name that does not exist, 130 for Ctrl-C.
    """
    name = arguments[0] if arguments else ""
    if name not in names():
        asked = name in ("-h", "--help")
        print(listed(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    try:
        import_module(f"benchmarks.{_file(name)}").main(arguments[1:])
    except KeyboardInterrupt:
        return INTERRUPTED
    except (HvaeSrError, ModuleNotFoundError, OSError, ValueError) as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
