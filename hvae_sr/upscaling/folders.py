"""Folders of images: the same tree again, larger, without doing anything twice."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from hvae_sr.errors import ImageError
from hvae_sr.imaging.decoding import FORMATS
from hvae_sr.imaging.files import is_image
from hvae_sr.upscaling.images import upscale_file
from hvae_sr.upscaling.names import kept_suffix, numbered
from hvae_sr.upscaling.options import UpscaleOptions
from hvae_sr.upscaling.preflight import Identities, check_folder, check_places, identities
from hvae_sr.upscaling.records import matches_record, records

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

Status = Literal["written", "done", "kept", "failed"]
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """One image and the files it becomes, one for each sample."""

    source: Path
    targets: list[Path]


@dataclass(frozen=True)
class Plan:
    """What a run over a folder would do: images to upscale, entries that are not images, and
    folders in it that cannot be read."""

    jobs: list[Job]
    others: list[Path]
    unreadable: list[Path]


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    `written`: upscaled. `done`: an earlier run with the same model and options wrote it.
    `kept`: a file of other origin has its name and was left alone. `failed`: see `reason`, one
    sentence.
    """

    source: Path
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """The outcomes of a run, in the order of the plan, what was not an image, and which folders
    could not be read."""

    outcomes: list[Outcome] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)

    def count(self, status: Status) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def complete(self) -> bool:
        """Whether every image now has its upscaled version, as far as anyone can see."""
        return not self.unreadable and all(
            outcome.status in ("written", "done") for outcome in self.outcomes
        )


def plan(source: Path, target: Path, num_samples: int = 1) -> Plan:
    """Map every image under `source` to files under `target`, by the same relative names.

    The suffix is kept, save for BMP, GIF and PPM, which become PNG: they hold too few colours or
    no record. Files without a suffix are known by their content. Hidden files are passed over;
    links to folders are not followed; an output folder inside the source is not read.

    Raises:
        ImageError: when the folders are one or the source lies in the target, when two images
            would become one file, when there is no image, or when nothing could be written.
    """
    if not source.is_dir():
        raise ImageError(f"{source} is not a folder")
    if target.exists() and not target.is_dir():
        raise ImageError(f"{target} is a file: name a folder for the upscaled images")
    if source.resolve().is_relative_to(target.resolve()):
        raise ImageError(f"{target} holds the images to be read: name another output folder")
    unreadable: list[Path] = []
    entries = list(_entries(source, target.resolve(), unreadable))
    found = [path for path in entries if _is_readable(path)]
    if source in unreadable:
        raise ImageError(f"{source} may not be read: change its permissions")
    if not found:
        raise ImageError(f"{source} holds no image in a format read here")
    check_folder(target)
    jobs = [
        Job(path, numbered(target / name, num_samples))
        for path, name in zip(found, _names(found, source), strict=True)
    ]
    _check_distinct(jobs)
    known = set(found)
    return Plan(jobs, [path for path in entries if path not in known], unreadable)


def upscale_folder(
    source: Path,
    target: Path,
    model: "SuperResolutionModel",
    options: UpscaleOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[Outcome, int], None] | None = None,
) -> Report:
    """Upscale every image under `source` into the same tree under `target`.

    An image that cannot be read is reported and the run goes on. Images that an earlier run wrote
    with the same model and options are not made again, so that a stopped run is continued by
    calling it again.

    Args:
        source: folder that is read, with the folders in it.
        target: folder that is written, made where it does not exist.
        options: where they leave out the seed, one is drawn for the run, and files of any seed
            count as done.
        overwrite: replace files of other origin or other options.
        progress: called after each image with its outcome and the number of images.

    Raises:
        ImageError: see `plan`; also when the disk is full.
        ValueError, ModelError: as `Upscaler` does, for every image alike.
    """
    options = options or UpscaleOptions()
    todo = plan(source, target, options.num_samples)
    sources = identities(job.source for job in todo.jobs)
    run = _Run(target, model, options, options.with_seed(), overwrite, sources)
    outcomes = []
    for job in todo.jobs:
        outcome = run.outcome(job)
        outcomes.append(outcome)
        if progress is not None:
            progress(outcome, len(todo.jobs))
    return Report(
        [_still_there(*pair) for pair in zip(outcomes, todo.jobs, strict=True)],
        todo.others,
        todo.unreadable,
    )


def _still_there(outcome: Outcome, job: Job) -> Outcome:
    """An outcome at the end of the run, which somebody may have removed meanwhile."""
    if outcome.status not in ("written", "done") or all(map(os.path.lexists, job.targets)):
        return outcome
    return Outcome(job.source, "failed", f"{job.targets[0]} has vanished since it was written")


def _is_readable(path: Path) -> bool:
    """Whether a file's suffix names an image format, or it has none and is an image."""
    if path.suffix or not path.is_file():
        return is_image(path)
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:  # a hostile file makes Pillow raise nearly anything
        return False


@dataclass(frozen=True)
class _Run:
    """One call of `upscale_folder`.

    Args:
        wanted: the options as they were given, which files on the disk are compared with.
        seeded: the same with the seed of this run.
        inputs: every image that is read, none of which is ever written over.
    """

    target: Path
    model: "SuperResolutionModel"
    wanted: UpscaleOptions
    seeded: UpscaleOptions
    overwrite: bool
    inputs: Identities

    def outcome(self, job: Job) -> Outcome:
        """Do one job, unless it is done or something is in its way."""
        try:
            foreign = self._foreign(job)
            if foreign is None:
                return Outcome(job.source, "done")
            if foreign and not self.overwrite:
                reason = f"{foreign[0]} exists and was made otherwise: add --overwrite"
                return Outcome(job.source, "kept", reason)
            self._make_folder(job.targets[0].parent)
            check_places(job.targets, self.inputs)
            upscale_file(job.source, job.targets, self.model, self.seeded)
        except (ImageError, OSError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, OSError) and cause.errno in FULL:
                raise  # so would all others
            return Outcome(job.source, "failed", str(error))
        return Outcome(job.source, "written")

    def _foreign(self, job: Job) -> list[Path] | None:
        """Files in the way that were made otherwise, or None when nothing is left to make."""
        wanted = records(job.source, self.model, self.wanted)
        pairs = zip(job.targets, wanted, strict=True)
        others = [path for path, record in pairs if not matches_record(path, record)]
        return [path for path in others if os.path.lexists(path)] if others else None

    def _make_folder(self, folder: Path) -> None:
        """Make a folder of the output, and refuse one that a link leads out of it."""
        if not folder.resolve().is_relative_to(self.target.resolve()):
            raise ImageError(f"{folder} leads out of {self.target}: remove that link")
        folder.mkdir(parents=True, exist_ok=True)


def _entries(source: Path, target: Path, unreadable: list[Path]) -> Iterator[Path]:
    """Files and links to folders under `source`, sorted, without hidden ones and the output.

    Args:
        unreadable: takes the folders whose entries nobody may see.
    """
    for name, folders, files in os.walk(
        source, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        here = Path(name)
        visible = sorted(entry for entry in folders if not entry.startswith("."))
        yield from (here / entry for entry in visible if (here / entry).is_symlink())
        folders[:] = [entry for entry in visible if (here / entry).resolve() != target]
        yield from (here / entry for entry in sorted(files) if not entry.startswith("."))


def _names(found: list[Path], source: Path) -> list[Path]:
    """a.jpg stays, a.bmp becomes a.png, or a.bmp.png where another image becomes a.png."""
    relative = [path.relative_to(source) for path in found]
    plain = [path.with_suffix(kept_suffix(path)) for path in relative]
    taken = Counter(plain)
    return [
        new if new == old or taken[new] == 1 else old.with_name(f"{old.name}{new.suffix}")
        for old, new in zip(relative, plain, strict=True)
    ]


def _check_distinct(jobs: list[Job]) -> None:
    """Refuse two images that would become one file."""
    owners: dict[Path, Path] = {}
    for job in jobs:
        for path in job.targets:
            if path in owners:
                raise ImageError(
                    f"{owners[path]} and {job.source} would both become {path}: rename one"
                )
            owners[path] = job.source
