"""Start the demo on the bundled weights: `python app.py`, offline, no account.

The same as `hvae-sr demo ...`.
"""

import sys

from hvae_sr.cli import run

if __name__ == "__main__":
    sys.exit(run(["demo", *sys.argv[1:]], name="app.py"))
