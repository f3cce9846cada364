"""Folders of pictures: the same tree again, larger, without doing anything twice."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hvae_sr.errors import ImageError
from hvae_sr.imaging.files import is_image
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.upscaling.images import Settings, kept_suffix, matches_record, numbered, upscale_file

Status = Literal["written", "done", "kept", "failed"]
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """One picture and the files it becomes, one per sample."""

    source: Path
    targets: list[Path]


@dataclass(frozen=True)
class Plan:
    """What a run over a folder would do: pictures to upscale, and entries that are no pictures."""

    jobs: list[Job]
    others: list[Path]


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    `written`: upscaled. `done`: an earlier run with the same model and settings wrote it.
    `kept`: a file of other origin has its name and was left alone. `failed`: see `reason`, one
    sentence.
    """

    source: Path
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """The outcomes of a run, in the order of the plan, and what was no picture."""

    outcomes: list[Outcome] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def count(self, status: Status) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def complete(self) -> bool:
        """Whether every picture now has its upscaled version."""
        return all(outcome.status in ("written", "done") for outcome in self.outcomes)


def plan(source: Path, target: Path, samples: int = 1) -> Plan:
    """Map every picture under `source` to files under `target`, by the same relative names.

    The suffix is kept, save for BMP, GIF and PPM, which become PNG: they hold too few colours or
    no record. Hidden files are passed over; links to folders are not followed; an output folder
    inside the source is not read.

    Raises:
        ImageError: when the folders are one or the source lies in the target, when two
            pictures would become one file, or when there is no picture.
    """
    if not source.is_dir():
        raise ImageError(f"{source} is no folder")
    if target.exists() and not target.is_dir():
        raise ImageError(f"{target} is a file: name a folder for the upscaled pictures")
    if source.resolve().is_relative_to(target.resolve()):
        raise ImageError(f"{target} holds the pictures to be read: name another output folder")
    entries = list(_entries(source, target.resolve()))
    found = [path for path in entries if is_image(path)]
    if not found:
        raise ImageError(f"{source} holds no picture in a format read here")
    names = _names(found, source)
    jobs = [
        Job(path, numbered(target / name, samples)) for path, name in zip(found, names, strict=True)
    ]
    owners: dict[Path, Path] = {}
    for job in jobs:
        for path in job.targets:
            if path in owners:
                raise ImageError(
                    f"{owners[path]} and {job.source} would both become {path}: rename one"
                )
            owners[path] = job.source
    return Plan(jobs, [path for path in entries if not is_image(path)])


def upscale_folder(
    source: Path,
    target: Path,
    model: SuperResolutionModel,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[Outcome, int], None] | None = None,
) -> Report:
    """Upscale every picture under `source` into the same tree under `target`.

    A picture that cannot be read is reported and the run goes on. Pictures that an earlier run
    wrote with the same model and settings are not made again, so that a stopped run is continued
    by calling it again.

    Args:
        source: folder that is read, with the folders in it.
        target: folder that is written, made where it is not there.
        overwrite: replace files of other origin or other settings.
        progress: called after each picture with its outcome and the number of pictures.

    Raises:
        ImageError: see `plan`; also when the disk is full.
    """
    settings = settings or Settings()
    todo = plan(source, target, settings.samples)
    seeded = settings.drawn()
    outcomes = []
    for job in todo.jobs:
        outcome = _run(job, target, model, settings, seeded, overwrite)
        outcomes.append(outcome)
        if progress is not None:
            progress(outcome, len(todo.jobs))
    return Report(outcomes, todo.others)


def _run(
    job: Job,
    root: Path,
    model: SuperResolutionModel,
    settings: Settings,
    seeded: Settings,
    overwrite: bool,
) -> Outcome:
    try:
        ours = matches_record(job.source, job.targets, model, settings)
        if len(ours) == len(job.targets):
            return Outcome(job.source, "done")
        foreign = [p for p in job.targets if os.path.lexists(p) and p not in ours]
        if foreign and not overwrite:
            reason = f"{foreign[0]} is there already and was made otherwise: add --overwrite"
            return Outcome(job.source, "kept", reason)
        folder = job.targets[0].parent
        if not folder.resolve().is_relative_to(root.resolve()):
            raise ImageError(f"{folder} leads out of {root}: remove that link")
        folder.mkdir(parents=True, exist_ok=True)
        upscale_file(job.source, job.targets, model, seeded)
    except (ImageError, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno in FULL:
            raise  # so would all others
        return Outcome(job.source, "failed", str(error))
    return Outcome(job.source, "written")


def _entries(source: Path, target: Path) -> Iterator[Path]:
    """Files and links to folders under `source`, sorted, without hidden ones and the output."""
    for name, folders, files in os.walk(source):
        here = Path(name)
        visible = sorted(entry for entry in folders if not entry.startswith("."))
        yield from (here / entry for entry in visible if (here / entry).is_symlink())
        folders[:] = [entry for entry in visible if (here / entry).resolve() != target]
        yield from (here / entry for entry in sorted(files) if not entry.startswith("."))


def _names(found: list[Path], source: Path) -> list[Path]:
    """a.jpg stays, a.bmp becomes a.png, or a.bmp.png where another picture becomes a.png."""
    relative = [path.relative_to(source) for path in found]
    plain = [path.with_suffix(kept_suffix(path)) for path in relative]
    taken = Counter(plain)
    return [
        new if new == old or taken[new] == 1 else old.with_name(f"{old.name}{new.suffix}")
        for old, new in zip(relative, plain, strict=True)
    ]
