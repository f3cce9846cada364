"""Train variants of the study's VAE: when it goes grey, and what cures it.

    python -m benchmarks ablation --data train.npy --test test.npy

Its own knobs are turned, then cures are tried one at a time and together. Every variant is trained
for the same few steps by the real training loop and measured on the same images; a variant that was
trained before with the same settings is not trained again. A grey collapse is a decoder that shows
one image whatever it is given, so that the error is that of a constant and nothing of the images'
variance is left.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from benchmarks import ROOT, parser
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import ModelError, TrainingError
from hvae_sr.evaluation.bounds import measure
from hvae_sr.evaluation.figures import photograph, write
from hvae_sr.evaluation.markdown import table
from hvae_sr.evaluation.references import References, load_references
from hvae_sr.imaging import pixels
from hvae_sr.imaging.files import save_image
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.resize import enlarge
from hvae_sr.training.data import ImageSet, load_images
from hvae_sr.training.loop import Trainer
from hvae_sr.training.recipes import PRESETS, Recipe
from hvae_sr.training.setup import Options, hardware

# Squares of scikit-image's photographs that the sheet shows: name, left, top, side.
SQUARES = (
    ("astronaut", 160, 0, 160),
    ("astronaut", 30, 130, 120),
    ("astronaut", 330, 60, 180),
    ("astronaut", 150, 300, 200),
    ("chelsea", 100, 30, 190),
    ("chelsea", 270, 120, 160),
    ("coffee", 130, 10, 380),
    ("coffee", 300, 220, 160),
)
SHOWN = len(SQUARES)
SIDE, LABEL = 64, 330  # pixels of an image, and of the words before its row
AS_CONSTANT = 0.95  # share of the constant image's error from which on nothing was learnt
ONE_IMAGE = 0.01  # share of the variance below which all images are one

# Half the preset's batch and warm-up: the shortest run that a recovered model can use.
STUDY = replace(PRESETS["vae-study"], batch_size=32, warmup_steps=50, validation=64)
HEALTHY = replace(PRESETS["vae-cifar10-x4"], batch_size=32, warmup_steps=50, validation=64)


@dataclass(frozen=True)
class Variant:
    """One change to the study's recipe.

    Args:
        name: of its files.
        what: the change in words.
        recipe: the whole recipe.
    """

    name: str
    what: str
    recipe: Recipe


@dataclass(frozen=True)
class Outcome:
    """What a variant came to; None where its weights or images were not finite.

    Args:
        reconstruction: mean squared error of images encoded and decoded, in [0, 1].
        best_guess: the same of images restored from y at temperature 0.
        kept: variance over images of the reconstructions, as a share of the originals'.
        rate: KL in bits per image.
    """

    reconstruction: float | None
    best_guess: float | None
    kept: float | None
    rate: float | None

    def verdict(self, constant: float) -> str:
        """What happened, in words; `constant` is the error of one colour for all images."""
        if self.reconstruction is None or self.kept is None:
            return "diverged"
        if self.reconstruction < AS_CONSTANT * constant:
            return "learns"
        return "**grey**" if self.kept < ONE_IMAGE else "**no better than grey**"


def _study(name: str, what: str, **changes: Any) -> Variant:
    return Variant(name, what, replace(STUDY, **changes))


def _model(name: str, what: str, **arguments: Any) -> Variant:
    return _study(name, what, arguments={**STUDY.arguments, **arguments})


def _objective(name: str, what: str, **terms: Any) -> Variant:
    assert STUDY.objective is not None
    return _study(name, what, objective=replace(STUDY.objective, **terms))


_ALL_BUT_Y = {"likelihood": "gaussian", "squash": False, "activation": "silu"}

VARIANTS: dict[str, list[Variant]] = {
    "The study's knobs": [
        _study("study", "nothing: the study's VAE"),
        _model("latent-1", "latent of 1 channel instead of 3", latent=1),
        _model("latent-12", "latent of 12 channels", latent=12),
        _objective("beta-0.1", "beta 0.1 instead of 1", beta=0.1, beta_start=0.1),
        _objective("beta-0", "beta 0: no rate at all", beta=0.0, beta_start=0.0),
        _study("rate-3e-3", "learning rate 0.003 instead of 0.03", learning_rate=3e-3),
        _study("rate-1e-3", "learning rate 0.001", learning_rate=1e-3),
        _study("batch-8", "batches of 8 instead of 32", batch_size=8),
        _study("batch-128", "batches of 128", batch_size=128),
        _objective("mse", "MSE term, as heavy as the likelihood", mse_weight=7_200.0),
    ],
    "Cures, one at a time": [
        _study("clip", "gradients clipped to norm 2", clip=2.0),
        _model("sigma", "sigma 0.1 instead of 0.01", sigma=0.1),
        _model("no-sigmoid", "no sigmoid at the end", squash=False),
        _model("gaussian", "learned scale, hence no sigmoid", likelihood="gaussian", squash=False),
        _model("silu", "SiLU instead of ReLU", activation="silu"),
        _model("sees-y", "decoder and prior see y", start="lr", prior="learned"),
    ],
    "Cures together": [
        _study("rate-clip", "learning rate 0.001, clipped", learning_rate=1e-3, clip=2.0),
        _study(
            "all-but-y",
            "the same, learned scale, SiLU",
            arguments={**STUDY.arguments, **_ALL_BUT_Y},
            learning_rate=1e-3,
            clip=2.0,
        ),
        Variant("vae-cifar10-x4", "this package's VAE: also sees y", HEALTHY),
    ],
}


@dataclass(frozen=True)
class Bench:
    """What all variants share.

    Args:
        images: to train on.
        references: thumbnails of one size to measure on, with their name.
        steps: of each variant.
        runs: folder that keeps the outcome of each finished variant.
        seed: of weights, data order and noise.
    """

    images: ImageSet
    references: References
    steps: int
    runs: Path
    seed: int = 0

    def hr(self) -> Tensor:
        """The images measured on: float (N, 3, H, W) in [0, 1]."""
        return torch.cat(list(self.references.on(torch.device("cpu"))))

    def settings(self, variant: Variant) -> dict[str, Any]:
        """Everything that decides a variant's outcome, as JSON holds it."""
        return {
            "recipe": asdict(replace(variant.recipe, steps=self.steps)),
            "data": self.images.describe(),
            "test": self.references.name,
            "images": self.references.count,
            "seed": self.seed,
        }


def run(
    bench: Bench,
    variants: Iterable[Variant],
    say: Callable[[str], None] = print,
) -> dict[str, Outcome]:
    """Train and measure variants; those that `bench.runs` knows with the same settings are skipped.

    Args:
        say: is told in a line how each one ended.
    """
    hr = bench.hr()
    outcomes = {}
    for variant in variants:
        settings = bench.settings(variant)
        kept = _kept(bench.runs / f"{variant.name}.json", settings)
        if kept is None:
            kept, sheet = _trained(variant, bench, hr)
            bench.runs.mkdir(parents=True, exist_ok=True)
            save_image(sheet, bench.runs / f"{variant.name}.png")
            facts = json.dumps({**settings, "outcome": asdict(kept)}, indent=2)
            (bench.runs / f"{variant.name}.json").write_text(facts + "\n")
        say(f"{variant.name}: {kept.verdict(error_of_a_constant(hr))}")
        outcomes[variant.name] = kept
    return outcomes


def _kept(path: Path, settings: dict[str, Any]) -> Outcome | None:
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    outcome = Outcome(**found.pop("outcome"))
    return outcome if found == json.loads(json.dumps(settings)) else None


def _trained(variant: Variant, bench: Bench, hr: Tensor) -> tuple[Outcome, Image.Image]:
    """The outcome, and what becomes of the shown images, side by side."""
    recipe = replace(variant.recipe, steps=bench.steps)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), seed=bench.seed, save_every=bench.steps, quiet=True)
        try:
            model = Trainer(recipe, bench.images, options, "ablation").run()
            assert isinstance(model, GenerativeModel)
            return examine(model.eval(), hr)
        except (TrainingError, ModelError):  # gradients or images that are not finite
            return Outcome(None, None, None, None), _row(torch.zeros_like(shown(hr.shape[-1])))


@torch.inference_mode()
def examine(model: GenerativeModel, hr: Tensor, batch: int = 100) -> tuple[Outcome, Image.Image]:
    """Measure a model on images (N, 3, H, W); also what becomes of `shown`, side by side.

    Raises:
        ModelError: when its images are not finite.
    """
    assert model.degradation is not None
    parts = [(part, model.degradation(part)) for part in hr.split(batch)]
    given = [(part, lr if model.is_conditional else None) for part, lr in parts]
    decoded = torch.cat([model.reconstruct(*pair) for pair in given])
    guessed = torch.cat([model.upscale(lr) for _, lr in parts])
    bits = measure(model, given)
    figures = {
        "reconstruction": float((decoded - hr).square().mean()),
        "best_guess": float((guessed - hr).square().mean()),
        "kept": float(decoded.var(dim=0).mean() / hr.var(dim=0).mean()),
        "rate": bits.rate * hr[0].numel(),
    }
    finite = {key: value if math.isfinite(value) else None for key, value in figures.items()}
    seen = shown(hr.shape[-1])
    lr = model.degradation(seen) if model.is_conditional else None
    return Outcome(**finite), _row(model.reconstruct(seen, lr).nan_to_num())


def shown(side: int) -> Tensor:
    """The images of the sheet, which anyone may look at: (SHOWN, 3, side, side) in [0, 1]."""
    squares = [
        photograph(name).crop((left, top, left + size, top + size))
        for name, left, top, size in SQUARES
    ]
    small = [square.resize((side, side), Image.Resampling.BICUBIC) for square in squares]
    return torch.cat([pixels.to_tensor(square) for square in small])


def error_of_a_constant(hr: Tensor) -> float:
    """Mean squared error of the one colour that fits all images (N, 3, H, W) best."""
    return float((hr - hr.mean(dim=(0, 2, 3), keepdim=True)).square().mean())


def page(bench: Bench, outcomes: dict[str, Outcome], command: str, sheet: str) -> str:
    """The Markdown page of finished variants.

    Args:
        sheet: the address of the image, seen from the page.
    """
    hr = bench.hr()
    constant = error_of_a_constant(hr)
    sections = [
        f"## {title}\n\n{_table([v for v in variants if v.name in outcomes], outcomes, constant)}"
        for title, variants in VARIANTS.items()
    ]
    return PAGE.format(
        command=command,
        steps=bench.steps,
        batch=STUDY.batch_size,
        warmup=STUDY.warmup_steps,
        data=bench.images.describe(),
        count=f"{len(hr):,}",
        test=bench.references.name,
        machine=f"{hardware(torch.device('cpu'))}, torch {torch.__version__}",
        constant=f"{constant:.4f}",
        bicubic=f"{_bicubic_error(hr):.4f}",
        share=f"{1 - AS_CONSTANT:.0%}",
        one=f"{ONE_IMAGE:.0%}",
        sections="\n\n".join(sections),
        sheet=sheet,
    )


PAGE = """\
# Why the study's VAE went grey

Variants of the preset `vae-study`, each trained for {steps} steps of {batch} images (warm-up
{warmup}) unless the table says otherwise, on {data};
measured on {count} images of {test}. Made by

```bash
{command}
```

on {machine}.

The one colour that fits all images best has a mean squared error of {constant}; bicubic
enlargement of y has {bicubic}. "Kept" is the variance over images of the reconstructions, as a
share of the originals'. A variant learns when its reconstructions are at least {share} better than
that colour; otherwise it is grey when less than {one} of the variance is kept. T = 0 restores from
y alone: models that do not see y encode its bicubic enlargement.

{sections}

Squares of scikit-image's photographs at the size of the test images, encoded and decoded again:

![Reconstructions by every variant below the originals]({sheet})
"""


def sheet(bench: Bench, variants: Iterable[Variant]) -> Image.Image:
    """The originals, and below them what each finished variant makes of them, labelled."""
    rows = {"original": _row(shown(bench.hr().shape[-1]))}
    for variant in variants:
        rows[variant.what] = Image.open(bench.runs / f"{variant.name}.png").convert("RGB")
    width = SIDE * max(row.width // row.height for row in rows.values())
    drawn = Image.new("RGB", (LABEL + width, SIDE * len(rows)), "white")
    for index, (label, row) in enumerate(rows.items()):
        size = (SIDE * row.width // row.height, SIDE)
        drawn.paste(row.resize(size, Image.Resampling.NEAREST), (LABEL, SIDE * index))
        write(drawn, label, SIDE * index + SIDE // 3)
    return drawn


def _table(variants: list[Variant], outcomes: dict[str, Outcome], constant: float) -> str:
    head = ["changed", "MSE of reconstructions", "MSE at T = 0", "kept", "rate, bits per image", ""]
    rows = []
    for variant in variants:
        outcome = outcomes[variant.name]
        figures = [
            _figure(outcome.reconstruction, ".4f"),
            _figure(outcome.best_guess, ".4f"),
            _figure(outcome.kept, ".1%"),
            _figure(outcome.rate, ",.0f"),
        ]
        rows.append([variant.what, *figures, outcome.verdict(constant)])
    return table(head, rows)


def _figure(value: float | None, digits: str) -> str:
    return f"{value:{digits}}" if value is not None else "not finite"


def _bicubic_error(hr: Tensor) -> float:
    scale = STUDY.arguments["scale"]
    lr = get_degradation("gaussian", scale)(hr)
    return float((enlarge(lr, scale).clamp(0, 1) - hr).square().mean())


def _row(shown: Tensor) -> Image.Image:
    """Images (N, 3, H, W) side by side."""
    return pixels.to_image(rearrange(shown, "n c h w -> c h (n w)"))


def main(arguments: list[str]) -> None:
    made = parser("ablation", __doc__)
    made.add_argument("--data", required=True, help="to train on, as `hvae-sr train` takes it")
    made.add_argument("--test", required=True, help="cifar10 (test split) or a .npy file")
    made.add_argument("--data-root", type=Path, default=Path("data"), help="for CIFAR-10")
    made.add_argument("--steps", type=int, default=150, help="of each variant")
    made.add_argument("--limit", type=int, default=1_000, help="first test images to measure on")
    made.add_argument(
        "--runs", type=Path, default=Path("runs/ablation"), help="keeps finished variants"
    )
    made.add_argument(
        "--out", type=Path, default=ROOT / "docs" / "ablation", help="OUT.md and OUT.png"
    )
    options = made.parse_args(arguments)
    variants = [variant for part in VARIANTS.values() for variant in part]
    bench = Bench(
        load_images(options.data, root=options.data_root),
        load_references(options.test, 4, space="rgb", limit=options.limit, root=options.data_root),
        options.steps,
        options.runs,
    )
    outcomes = run(bench, variants)
    sources = f"--data {Path(options.data).name} --test {Path(options.test).name}"
    settings = f"--steps {options.steps} --limit {options.limit}"
    drawn = options.out.with_suffix(".png")
    save_image(sheet(bench, variants), drawn)
    text = page(bench, outcomes, f"python -m benchmarks ablation {sources} {settings}", drawn.name)
    options.out.with_suffix(".md").write_text(text)
    print(options.out.with_suffix(".md"))
