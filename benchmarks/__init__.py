"""What makes this repository's own tables, figures and training targets; not part of the wheel."""

import argparse
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODEL_CARDS = ROOT / "model_cards"  # the bundled models as this checkout has them, to be written to


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The description as it stands, and every default that there is."""


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m benchmarks NAME`.

    Args:
        description: the module's docstring; its first line is in the list of commands.
    """
    program = f"python -m benchmarks {name}"
    return argparse.ArgumentParser(prog=program, description=description, formatter_class=_Help)
