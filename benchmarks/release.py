"""Write a trained model for model_cards: 16-bit weights, p(y) joined, training facts.

    python -m benchmarks release runs/hvae-cifar10-x4/model model_cards/hvae-cifar10-x4 \\
        --prior runs/hvae-cifar10-lr/model

Then write its notes.md, and measure and describe it by `hvae-sr evaluate` and `hvae-sr card`.
"""

import json
from pathlib import Path

from benchmarks import parser
from hvae_sr.errors import ModelError
from hvae_sr.evaluation.results import read
from hvae_sr.hub import load
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.storage.cards import TRAINING


def release(source: Path, target: Path, prior: Path | None = None) -> None:
    """Write `target` from trained models.

    Args:
        source: folder of a trained model, RUN/model.
        target: the folder to write.
        prior: folder of a model p(y) of LR images to join.

    Raises:
        ModelError: when a folder is not a trained model, or a model cannot take a p(y).
    """
    model, facts = load(source), read(source / TRAINING)
    if prior is not None:
        joined = load(prior)
        if not isinstance(model, GenerativeModel) or not isinstance(joined, GenerativeModel):
            raise ModelError("only generative models take a p(y)")
        model = model.with_lr_prior(joined)
        facts["lr_prior"] = read(prior / TRAINING)
    model.half().save_pretrained(target)
    (target / TRAINING).write_text(json.dumps(facts, indent=2) + "\n")


def main(arguments: list[str]) -> None:
    made = parser("release", __doc__)
    made.add_argument("source", type=Path, metavar="RUN/model", help="a trained model")
    made.add_argument("target", type=Path, metavar="OUTPUT", help="the folder to write")
    made.add_argument("--prior", type=Path, help="a trained model p(y) of LR images to join")
    options = made.parse_args(arguments)
    release(options.source, options.target, options.prior)
