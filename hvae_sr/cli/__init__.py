"""The `hvae-sr` command. Every failure is one sentence on stderr and exit code 2."""

import sys

from hvae_sr.cli import evaluate, release, sample, upscale  # noqa: F401  (register commands)
from hvae_sr.cli.app import app
from hvae_sr.errors import HvaeSrError


def main() -> None:
    try:
        app()
    except (HvaeSrError, ValueError) as error:
        print(f"hvae-sr: {error}", file=sys.stderr)
        raise SystemExit(2) from None
