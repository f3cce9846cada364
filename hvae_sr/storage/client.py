"""The client of a hub: downloads, and one sentence for every failure."""

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
    """Download the file `name` of a repository, or take it from the cache.

    A file appears in the cache whole or not at all.

    Args:
        repository: `owner/name`.
        revision: branch, tag or commit.
        options: see `huggingface_hub.hf_hub_download`.

    Returns:
        Its path in the cache.

    Raises:
        HubError: when it cannot be downloaded; the message says what to do about it.
    """
    with translate_hub_errors(repository, revision):
        return Path(hf_hub_download(repository, name, revision=revision, **options))


@contextmanager
def translate_hub_errors(repository: str, revision: str | None = None) -> Iterator[None]:
    """Turn what the hub's client raises into a `HubError`, with the original as its cause.

    Errors of this machine's files pass as they are.
    """
    try:
        yield
    except RuntimeError as error:  # what the client makes of an upload over HTTP that fails
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
        return f"{repository} is not an hvae_sr model: it has no {error.response.url.path}"
    if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        return f"{repository} is not in the cache: go online once (HF_HUB_OFFLINE=0) to download it"
    if isinstance(error, HfHubHTTPError):
        return _response_advice(error, hub, repository)
    cause = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, HTTPError):  # hf_xet raises Python's own errors
        return (
            f"{repository} could not be transferred to or from {hub} through Xet ({cause}): "
            "check the network and try again, or set HF_HUB_DISABLE_XET=1 to use plain HTTP"
        )
    return (
        f"the connection to {hub} failed ({cause}), and no incomplete file of {repository} was "
        "kept: check the network and try again"
    )


def _response_advice(error: HfHubHTTPError, hub: str, repository: str) -> str:
    status = error.response.status_code
    if status in REFUSED:
        return (
            f"{hub} refuses the token for {repository}: give one that may do this with --token or "
            "HF_TOKEN, or log in with `hf auth login`"
        )
    reason = error.server_message or error.response.reason_phrase
    return f"{hub} answered {status} for {repository} ({reason}): try again later"
