"""Train a model: `python train.py --preset hvae-cifar10-x4 --data cifar10`.

The same as `hvae-sr train ...`. Runs as it is on CPU or one GPU, and under
`accelerate launch train.py ...` on many.
"""

import sys

from hvae_sr.cli import run

if __name__ == "__main__":
    sys.exit(run(["train", *sys.argv[1:]], name="train.py"))
