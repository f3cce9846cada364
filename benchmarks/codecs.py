"""Compare storing coarsely with JPEG, WebP and AVIF of the whole image at equal bytes.

    python -m benchmarks codecs FOLDER --model photo-cnn-x4

What counts on the coarse side is the file as `hvae-sr shrink` writes it, its record of how to
restore it included; the rivals' files hold pixels alone and get the highest quality that fits
into as many bytes. EXIF and ICC profiles of the originals are left out on both sides.
"""

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, features
from PIL import __version__ as pillow_version
from torch import Tensor
from tqdm.auto import tqdm

from benchmarks import parser
from hvae_sr.errors import DataError
from hvae_sr.evaluation.markdown import table
from hvae_sr.evaluation.metrics import WINDOW, planes, psnr, valid_ssim
from hvae_sr.hub import load
from hvae_sr.imaging.files import encodable, open_image, save_image
from hvae_sr.imaging.metadata import read_record
from hvae_sr.imaging.pixels import to_image, to_tensor
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.resize import enlarge
from hvae_sr.rescale import Shrunk, restore, shrink
from hvae_sr.training.data import read_folder

QUALITIES = range(1, 101)
RIVALS: dict[str, dict[str, Any]] = {
    "JPEG": {"optimize": True, "progressive": True},
    "WEBP": {"method": 6},
    # The speed that small images are written with too; slower ones cost minutes an image.
    "AVIF": {"speed": 6, "max_threads": 1},
}
TITLES = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WebP", "AVIF": "AVIF"}
RESTORED = "small, restored by the model"


@dataclass(frozen=True)
class Setting:
    """A codec of the small image; PNG has no quality."""

    codec: str
    quality: int | None = None

    @property
    def title(self) -> str:
        name = TITLES[self.codec]
        if self == Setting("WEBP", 100):
            return f"{name} lossless"  # see `save_image`
        return name if self.quality is None else f"{name} {self.quality}"


SETTINGS = (
    Setting("PNG"),
    *(Setting("WEBP", quality) for quality in (100, 90, 70, 40)),
    *(Setting("AVIF", quality) for quality in (90, 70, 50)),
)


@dataclass(frozen=True)
class Trial:
    """One image stored one way: file bytes, Y-PSNR in dB, SSIM of Y."""

    bytes: int
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Row:
    """Means over images of one way of storing them.

    Args:
        stored: codec and quality of the small image, which set the budget of bytes.
        method: what gave the full-size image.
        bits_per_pixel: file bits per pixel of the original.
        psnr: of Y, in dB.
        ssim: of Y.
        beaten: in how many images the model's restoration has the higher (PSNR, SSIM) than
            this method; None for the model itself.
        over: in how many images the method's smallest file exceeds the budget.
    """

    stored: str
    method: str
    bits_per_pixel: float
    psnr: float
    ssim: float
    beaten: tuple[int, int] | None
    over: int


@dataclass(frozen=True)
class Comparison:
    """The outcome of `compare`, with what it takes to repeat it."""

    model: str
    scale: int
    degradation: str
    data: str
    images: int
    encoders: str
    rows: list[Row]


class FullSize:
    """One image in one codec at every quality, each encoded at most once.

    Args:
        image: RGB.
        codec: a key of `RIVALS`.
    """

    def __init__(self, image: Image.Image, codec: str):
        def encode(quality: int) -> bytes:
            file = io.BytesIO()
            with encodable(image.size, f"an image as {codec}"):
                image.save(file, format=codec, quality=quality, **RIVALS[codec])
            return file.getvalue()

        self.encode: Callable[[int], bytes] = cache(encode)

    def best_within(self, budget: int) -> int:
        """The highest quality whose file has at most `budget` bytes, by bisection.

        Files grow with quality, but for a few bytes between neighbours. Where even quality 1 is
        too large it is returned all the same: the caller sees the bytes.
        """
        fits, fails = QUALITIES.start, QUALITIES.stop
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if len(self.encode(middle)) <= budget:
                fits = middle
            else:
                fails = middle
        return fits

    def decode(self, quality: int) -> Image.Image:
        image = Image.open(io.BytesIO(self.encode(quality)))
        return image.convert("RGB")


def available(codec: str) -> bool:
    """Whether this Pillow writes a codec."""
    return codec in ("PNG", "JPEG") or bool(features.check(codec.lower()))


def compare(
    model: SuperResolutionModel,
    folder: Path,
    *,
    limit: int | None = None,
    settings: tuple[Setting, ...] = SETTINGS,
) -> Comparison:
    """Store every image of a folder coarsely and in full, at equal bytes, and score both.

    Images are RGB and scored whole, borders included. The model answers at temperature 0, so
    the figures repeat exactly on one machine.

    Args:
        model: any model with a degradation.
        folder: images that were neither trained on nor selected by.
        limit: only the first so many, in the order of their paths.
        settings: codecs of the small image; those this Pillow cannot write are left out.

    Raises:
        DataError: when the folder holds no image, or one too small for SSIM.
        ModelError: for a model of LR images.
    """
    images = read_folder(folder)[:limit]
    if not images or min(min(image.shape[-2:]) for image in images) < WINDOW:
        raise DataError(
            f"SSIM needs at least one image, and {WINDOW} pixels along each side of each"
        )
    settings = tuple(setting for setting in settings if available(setting.codec))
    rivals = tuple(codec for codec in RIVALS if available(codec))
    trials: dict[tuple[str, str], list[Trial]] = {}
    for image in tqdm(images, desc="storing", unit="image"):
        for stored, method, trial in _trials(image, model, settings, rivals):
            trials.setdefault((stored, method), []).append(trial)
    pixels = [image[0].numel() for image in images]
    assert model.degradation is not None
    return Comparison(
        model=model.name,
        scale=model.scale,
        degradation=model.degradation.name,
        data=folder.name,
        images=len(images),
        encoders=_encoders(rivals),
        rows=[
            _row(stored, method, found, trials[stored, RESTORED], pixels)
            for (stored, method), found in trials.items()
        ],
    )


def _trials(
    pixels: Tensor,
    model: SuperResolutionModel,
    settings: tuple[Setting, ...],
    rivals: tuple[str, ...],
) -> Iterator[tuple[str, str, Trial]]:
    """Every way of storing one image (3, H, W): (setting, method, how it went)."""
    hr = pixels.float().div(255)
    image = to_image(hr)
    small, shrunk = shrink(image, model)
    full = {codec: FullSize(image, codec) for codec in rivals}
    for setting in settings:
        size, kept, record = _through_file(small, shrunk, setting)
        yield setting.title, RESTORED, _trial(size, restore(kept, model, record), hr)
        yield setting.title, "small, enlarged by bicubic", _trial(size, _bicubic(kept, record), hr)
        for codec, versions in full.items():
            quality = versions.best_within(size)
            trial = _trial(len(versions.encode(quality)), versions.decode(quality), hr)
            yield setting.title, f"full size, {TITLES[codec]}", trial


def _through_file(
    small: Image.Image, shrunk: Shrunk, setting: Setting
) -> tuple[int, Image.Image, Shrunk]:
    """Bytes of the file that `hvae-sr shrink` would write, and what comes back out of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"small.{setting.codec.lower()}"
        save_image(small, path, record=shrunk.to_record(), quality=setting.quality)
        kept = open_image(path)
        return path.stat().st_size, kept, Shrunk.parse(read_record(kept))


def _bicubic(small: Image.Image, shrunk: Shrunk) -> Image.Image:
    larger = enlarge(to_tensor(small), shrunk.scale)[0]
    return to_image(larger[:, : shrunk.height, : shrunk.width])


def _trial(size: int, answer: Image.Image, hr: Tensor) -> Trial:
    pair = planes(to_tensor(answer), hr.unsqueeze(0), border=0)
    return Trial(size, float(psnr(*pair)), float(valid_ssim(*pair)))


def _row(stored: str, method: str, found: list[Trial], ours: list[Trial], pixels: list[int]) -> Row:
    """Means of `found`, which stands beside the model's own trials `ours` of the same files."""
    pairs = list(zip(found, ours, strict=True))
    ahead = (
        sum(our.psnr > trial.psnr for trial, our in pairs),
        sum(our.ssim > trial.ssim for trial, our in pairs),
    )
    return Row(
        stored=stored,
        method=method,
        bits_per_pixel=_mean([8 * t.bytes / n for t, n in zip(found, pixels, strict=True)]),
        psnr=_mean([trial.psnr for trial in found]),
        ssim=_mean([trial.ssim for trial in found]),
        beaten=None if found is ours else ahead,
        over=sum(trial.bytes > our.bytes for trial, our in pairs),
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _encoders(rivals: tuple[str, ...]) -> str:
    libraries = {"JPEG": "libjpeg_turbo", "WEBP": "webp", "AVIF": "avif"}
    names = [libraries[codec] for codec in rivals]
    versions = [f"{name} {features.version(name)}" for name in names]
    return ", ".join([f"Encoders: Pillow {pillow_version}", *versions])


def markdown(comparison: Comparison) -> str:
    """The outcome as Markdown: a statement of what was compared, and one table."""
    count = comparison.images
    statement = (
        f"{count:,} images of {comparison.data}, stored by `hvae-sr shrink` for "
        f"{comparison.model} (x{comparison.scale}, degradation `{comparison.degradation}`) and "
        "restored at temperature 0, beside full-size files of at most as many bytes, or of "
        'quality 1 where even that takes more ("above the budget"). Bytes of '
        "whole files: those of `shrink` with their record, the others pixels alone. PSNR and "
        'SSIM of Y, borders included, averaged per image. "Model ahead" counts images '
        f"where the restored one scores higher than this line's. {comparison.encoders}."
    )
    head = ["small file", "image", "bits per pixel", "PSNR-Y (dB)", "SSIM"]
    head += ["model ahead: PSNR", "model ahead: SSIM"]
    rows = []
    for row in comparison.rows:
        beaten = ("", "") if row.beaten is None else [f"{n} of {count}" for n in row.beaten]
        rate = f"{row.bits_per_pixel:.3f}"
        # A rival that cannot be as small is shown with the bytes it needs, not left out.
        rate += f" (above the budget in {row.over})" if row.over else ""
        scores = [f"{row.psnr:.2f}", f"{row.ssim:.4f}"]
        rows.append([row.stored, row.method, rate, *scores, *beaten])
    return f"{statement}\n\n{table(head, rows)}\n"


def main(arguments: list[str]) -> None:
    made = parser("codecs", __doc__)
    made.add_argument("folder", type=Path, metavar="FOLDER", help="of photographs")
    made.add_argument("--model", default="photo-cnn-x4", help="bundled name, folder or owner/name")
    made.add_argument("--limit", type=int, help="only the first so many images")
    made.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    options = made.parse_args(arguments)
    model = load(options.model, device=options.device)
    print(markdown(compare(model, options.folder, limit=options.limit)), end="")
