"""`hvae-sr sample`: unconditional samples."""

from pathlib import Path
from typing import Annotated, cast

import typer

from hvae_sr.cli.app import Device, Model, Revision, Seed, Token, app
from hvae_sr.cli.models import AUTO, loaded


@app.command()
def sample(
    model: Model,
    target: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The image to write: a grid of the samples.")
    ],
    count: Annotated[int, typer.Option(min=1, help="How many samples.")] = 16,
    size: Annotated[int, typer.Option(min=1, help="Side of a sample in pixels.")] = 32,
    temperature: Annotated[
        float, typer.Option(min=0, help="Factor of the standard deviations that are drawn with.")
    ] = 1.0,
    decode: Annotated[
        str,
        typer.Option(
            help="mean: the expected image of drawn latents; sample: the image is drawn from the "
            "likelihood too, and only that, at temperature 1, is a sample of p(x)."
        ),
    ] = "mean",
    seed: Seed = None,
    device: Device = AUTO,
    revision: Revision = None,
    token: Token = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
) -> None:
    """Draw unconditional samples of a generative model."""
    from torchvision.utils import make_grid

    from hvae_sr.errors import ModelError
    from hvae_sr.imaging.files import ensure_writable, save_image
    from hvae_sr.imaging.pixels import to_image
    from hvae_sr.models.latent import GenerativeModel
    from hvae_sr.nn.latents import Decode

    ensure_writable(target, overwrite)
    network = loaded(model, device, revision, token)
    if not isinstance(network, GenerativeModel):
        raise ModelError(f"{model} is deterministic: name a generative model to sample from")
    samples = network.sample(
        count,
        size=(size, size),
        temperature=temperature,
        seed=seed,
        decode=cast(Decode, decode),  # which is checked there
    )
    save_image(to_image(make_grid(samples, nrow=round(count**0.5) or 1)), target)
    print(target)
