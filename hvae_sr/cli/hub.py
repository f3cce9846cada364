"""`hvae-sr list`, `info` and `push`: bundled models and models on a hub."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hvae_sr.cli.app import Model, Revision, Token, app
from hvae_sr.cli.models import named

if TYPE_CHECKING:
    from hvae_sr.hub import Info


@app.command("list")
def list_models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what `info --json` tells of each, in a list.")
    ] = False,
) -> None:
    """List the bundled models with their scores, as Markdown tables or as JSON."""
    from hvae_sr.evaluation.tables import bundled_tables
    from hvae_sr.hub import info as look_up
    from hvae_sr.storage.cards import RESULTS
    from hvae_sr.storage.shelf import bundled

    if as_json:
        print(json.dumps([asdict(look_up(name)) for name in bundled()], indent=2))
        return
    print("\n\n".join(bundled_tables()))
    others = [name for name, folder in bundled().items() if not (folder / RESULTS).is_file()]
    if others:
        print(f"\nNot evaluated yet: {', '.join(others)}")


@app.command()
def info(
    model: Model,
    revision: Revision = None,
    token: Token = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is known of a model: class, size, scores, training, licence, SHA-256."""
    from hvae_sr.hub import info as look_up

    model, revision = named(model, revision)
    found = look_up(model, revision=revision, token=token)
    print(json.dumps(asdict(found), indent=2) if as_json else _described(found))


@app.command()
def push(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="A model folder, or a bundled name.")
    ],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Created if it does not exist.")
    ],
    private: Annotated[
        bool | None,
        typer.Option(
            help="Whether a new repository is hidden from others.", show_default="as the hub does"
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch to push to, created if it does not exist.", show_default="main"),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="A name for this commit, such as v1.")] = None,
    message: Annotated[str | None, typer.Option(help="Message of the commit.")] = None,
    token: Token = None,
) -> None:
    """Publish a model folder on a hub, in one commit and only if it loads strictly."""
    from hvae_sr.hub import push as publish

    print(
        publish(
            folder,
            repository,
            private=private,
            revision=revision,
            tag=tag,
            message=message,
            token=token,
        )
    )


def _described(info: "Info") -> str:
    task = f"x{info.scale}, degradation {info.degradation}" if info.degradation else "no LR input"
    lines = {
        "name": info.name,
        "revision": info.revision or "",
        "class": f"{info.model_class}, {info.parameters:,} parameters",
        "task": task,
        "weights": f"{info.size:,} bytes, SHA-256 {info.sha256}",
        "format": f"{info.format_version}, written by hvae_sr {info.hvae_sr_version or 'unknown'}",
        "licence": info.licence or "not stated",
        "training": _trained(info) or "not recorded",
        **{f"scores, {data}": _scored(values) for data, values in info.scores.items()},
    }
    if not info.scores:
        lines["scores"] = "not evaluated"
    width = max(map(len, lines))
    return "\n".join(f"{key:{width}}  {value}" for key, value in lines.items())


def _trained(info: "Info") -> str:
    facts = info.training
    parts = [
        f"{facts['images']:,} images seen" if "images" in facts else "",
        f"{facts['minutes']:.0f} minutes" if "minutes" in facts else "",
        f"on {facts['hardware']}" if "hardware" in facts else "",
        f"data: {facts['data']}" if "data" in facts else "",
    ]
    return ", ".join(part for part in parts if part)


def _scored(values: dict[str, float]) -> str:
    return ", ".join(f"{kind.upper()} {value:g}" for kind, value in values.items())
