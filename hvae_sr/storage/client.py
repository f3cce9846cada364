"""Talking to a hub: files come down, folders go up, and every failure is one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hvae_sr.errors import HubError

REFUSED = (401, 403)


def download(repository: str, name: str, *, revision: str | None = None, **options: Any) -> Path:
    """The file `name` of a repository, from the cache when it is there already.

    A file appears in the cache whole or not at all.

    Args:
        repository: `owner/name`.
        revision: branch, tag or commit.
        options: see `huggingface_hub.hf_hub_download`.

    Raises:
        HubError: when it cannot be had, and what to do about it.
    """
    with said_plainly(repository, revision):
        return Path(hf_hub_download(repository, name, revision=revision, **options))


@contextmanager
def said_plainly(repository: str, revision: str | None = None) -> Iterator[None]:
    """Turn what the hub's client raises into a `HubError`, with the original as its cause.

    Errors of this machine's files pass as they are.
    """
    try:
        yield
    except RuntimeError as error:  # what the client makes of an upload that fails
        if not isinstance(error.__cause__, HTTPError):
            raise
        raise HubError(_advice(error.__cause__, repository, revision)) from error
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise HubError(_advice(error, repository, revision)) from error


def _advice(error: BaseException, repository: str, revision: str | None) -> str:
    hub = constants.ENDPOINT
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # the client tried, and then looked into its cache
    if isinstance(error, GatedRepoError):
        return f"{repository} is gated: ask for access on {hub}/{repository}, then give your token"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{hub} has no repository {repository}, or hides it: check the name, and give a token "
            "that may see it if it is private"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no revision {revision}: give one of its branches, tags or commits"
    if isinstance(error, RemoteEntryNotFoundError):
        return f"{repository} is no hvae_sr model, a file is missing: {error.response.url.path}"
    if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        return f"{repository} is not in the cache: go online once (HF_HUB_OFFLINE=0) to download it"
    if isinstance(error, HfHubHTTPError):
        return _answer(error, hub, repository)
    return (
        f"the connection to {hub} failed or was lost, and nothing of {repository} was kept half "
        "done: check the network and try again"
    )


def _answer(error: HfHubHTTPError, hub: str, repository: str) -> str:
    status = error.response.status_code
    if status in REFUSED:
        return (
            f"{hub} refuses the token for {repository}: give one that may do this with --token or "
            "HF_TOKEN, or log in with `hf auth login`"
        )
    told = error.server_message or error.response.reason_phrase
    return f"{hub} answered {status} for {repository} ({told}): try again later"
