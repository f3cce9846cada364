"""`hvae-sr sample`: pictures from nothing."""

from pathlib import Path
from typing import Annotated

import typer

from hvae_sr.cli.app import Model, Seed, app


@app.command()
def sample(
    model: Model,
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The grid to write.")],
    count: Annotated[int, typer.Option(help="How many pictures.")] = 16,
    temperature: Annotated[float, typer.Option(help="Scale of the latent deviations.")] = 1.0,
    seed: Seed = None,
) -> None:
    """Draw pictures from nothing, as one grid."""
    from torchvision.utils import make_grid

    from hvae_sr.errors import ModelError
    from hvae_sr.hub import load
    from hvae_sr.imaging.files import save_image
    from hvae_sr.imaging.pixels import to_image
    from hvae_sr.models.latent import GenerativeModel

    loaded = load(model)
    if not isinstance(loaded, GenerativeModel):
        raise ModelError(f"{model} is deterministic and has no prior to sample from")
    pictures = loaded.sample(count, temperature=temperature, seed=seed)
    save_image(to_image(make_grid(pictures, nrow=round(count**0.5) or 1)), target)
