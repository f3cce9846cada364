"""Training pairs for photographs as they are: what cameras, editors and web sites do to them.

After Kai Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution" (BSRGAN), ICCV 2021 (arXiv:2103.14006), and Xintao Wang et al., "Real-ESRGAN:
Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021
(arXiv:2107.10833). Two stages of blur, resizing, noise and compression, the second near the LR
size:

- first stage: the four in random order (BSRGAN);
- second stage: blur, resizing and noise in random order;
- then, in random order (Real-ESRGAN), the resizing to the LR size, after which some images get
  ringing, and compression.

Departures from both papers: the resizing may be antialiased, as image editors do it; compression
may be WebP or a frame of H.264; shot noise is drawn from the normal distribution with the variance
of Poisson counts; some images are only shrunk cleanly, so that a network learns to leave these
alone.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.degradations.base import Degradation, register_degradation
from hvae_sr.nn.noise import seeded

Range = tuple[float, float]
Step = Callable[[Tensor], Tensor]  # one image (3, h, w) in [0, 1] -> one, perhaps of another size

RADIUS = 10  # of the largest blur kernel
RINGING_RADIUS = 8
FRAMES = 3  # of the film of which the last frame is kept
LIMITS: dict[str, Range] = {  # what the range of that name may span
    "sigma": (0.05, 20),
    "zoom": (0.05, 4),
    "noise_std": (0, 255),
    "quality": (1, 100),
    "rate_factor": (0, 51),
    "cutoff": (0.5, math.pi),
}


def check(record: Any) -> None:
    """Ranges of a frozen dataclass become tuples, and its shares are probabilities.

    Raises:
        ValueError: for anything else, naming the field.
    """
    for name, value in ((f.name, getattr(record, f.name)) for f in fields(record)):
        if name in LIMITS:
            least, most = LIMITS[name]
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise ValueError(f"{name} must be a pair of numbers, not {value!r}")
            low, high = value
            if not least <= low <= high <= most:
                raise ValueError(f"{name} must be a range within {least:g} to {most:g}")
            object.__setattr__(record, name, (low, high))  # JSON made a list of it
        elif isinstance(value, int | float) and name != "scale" and not 0 <= value <= 1:
            raise ValueError(f"{name} is a share of the images, from 0 to 1, not {value!r}")


@dataclass(frozen=True)
class Stage:
    """How often and how strongly one stage corrupts; all values are what JSON can hold.

    Args:
        blur, resize, noise, compress: share of the images that get each.
        sigma: standard deviation of the blur: in the first stage in HR pixels at x4 (in proportion
            at other scales), in the second in LR pixels.
        zoom: size after resizing, of the HR size in the first stage, of the LR size in the second.
        noise_std: standard deviation in 8-bit steps; of shot noise, at white.
        quality: of JPEG and WebP, 1 to 100.

    Raises:
        ValueError: for shares outside 0 to 1 and for ranges that are none.
    """

    blur: float
    sigma: Range
    resize: float
    zoom: Range
    noise: float
    noise_std: Range
    compress: float
    quality: Range

    def __post_init__(self) -> None:
        check(self)


FIRST = Stage(
    blur=0.7,
    sigma=(0.2, 2.4),
    resize=0.7,
    zoom=(0.25, 1.1),
    noise=0.5,
    noise_std=(0, 16),
    compress=0.5,
    quality=(40, 95),
)
SECOND = Stage(
    blur=0.4,
    sigma=(0.2, 1.0),
    resize=0.5,
    zoom=(0.7, 1.2),
    noise=0.6,
    noise_std=(0, 12),
    compress=0.75,
    quality=(35, 95),
)
# Arguments of `Blind` by name: the default, and a heavier second stage to evaluate with.
STRENGTHS: dict[str, dict[str, Any]] = {
    "middle": {},
    "heavy": {
        "second": Stage(
            blur=0.6,
            sigma=(0.2, 1.4),
            resize=0.7,
            zoom=(0.5, 1.2),
            noise=0.8,
            noise_std=(2, 20),
            compress=0.9,
            quality=(25, 80),
        ),
        "clean": 0.0,
    },
}


@register_degradation
@dataclass(frozen=True)
class Blind(Degradation):
    """HR (N, 3, H, W) in [0, 1] -> LR (N, 3, H / scale, W / scale), rounded to 8 bits.

    Args:
        scale: HR pixels per LR pixel along each side: 2, 3 or 4.
        first, second: the two stages; see `Stage`. A mapping of a stage's arguments will do.
        clean: share of the images that are only shrunk, by antialiased bicubic interpolation.
        anisotropic: share of blurs that differ along and across a random direction.
        generalised: share of blurs whose tails are not the Gaussian's (BSRGAN, Real-ESRGAN).
        shot: share of noise that grows with the square root of the value, as photon counts do.
        grey: share of noise that is the same in all channels.
        subsampled: share of JPEG files with half the chroma resolution along each side.
        webp: share of compressions by WebP.
        film: share of the second stage's compressions as the last frame of a short H.264 film.
        rate_factor: of H.264 (CRF), 0 to 51, higher is worse.
        ringing: share of images with a sharp lowpass after the last resizing.
        cutoff: of that lowpass, in radians per LR pixel.

    Raises:
        ValueError: for an unknown scale, shares outside 0 to 1, ranges that are none, and (when
            called) sizes that are no multiple of the scale.
        ModuleNotFoundError: for a film without PyAV.
    """

    name: ClassVar[str] = "blind"
    first: Stage = FIRST
    second: Stage = SECOND
    clean: float = 0.05
    anisotropic: float = 0.5
    generalised: float = 0.3
    shot: float = 0.4
    grey: float = 0.4
    subsampled: float = 0.7
    webp: float = 0.15
    film: float = 0.02
    rate_factor: Range = (22, 34)
    ringing: float = 0.25
    cutoff: Range = (math.pi / 2, math.pi)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("first", "second"):
            stage = getattr(self, name)
            if not isinstance(stage, Stage):
                object.__setattr__(self, name, Stage(**stage))
        check(self)

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The same images for the same state of the generator, which lives on the CPU."""
        self.check_size(hr)
        seeds = torch.randint(2**62, (len(hr),), generator=generator).tolist()
        pairs = zip(hr, seeds, strict=True)
        return torch.stack([self.corrupt(image, seed) for image, seed in pairs])

    def corrupt(self, hr: Tensor, seed: int) -> Tensor:
        """One image (3, H, W) in [0, 1] -> (3, H / scale, W / scale), rounded to 8 bits."""
        height, width = hr.shape[-2:]
        self.check_size(hr[None])
        small = (height // self.scale, width // self.scale)
        draws = Draws(seed)
        if draws.chance(self.clean):
            image = resize(hr.cpu(), small, "bicubic", antialias=True)
        else:
            image = hr.cpu()
            for step in self._steps(draws, (height, width), small):
                image = step(image).clamp(0, 1)
        return from_array(to_array(image)).to(hr)

    def _steps(self, draws: "Draws", large: tuple[int, int], small: tuple[int, int]) -> list[Step]:
        first, second = self.first, self.second

        def squeeze_first(image: Tensor) -> Tensor:
            return self._compress(image, first, draws, film=0)

        def squeeze_second(image: Tensor) -> Tensor:
            return self._compress(image, second, draws, film=self.film)

        def finish(image: Tensor) -> Tensor:
            image = resize(image, small, *draws.interpolation())
            if draws.chance(self.ringing):
                image = convolve(image, lowpass(draws.uniform(*self.cutoff)))
            return image

        return [
            *draws.shuffled([*self._optics(first, draws, large, self.scale / 4), squeeze_first]),
            *draws.shuffled(self._optics(second, draws, small, 1)),
            *draws.shuffled([finish, squeeze_second]),
        ]

    def _optics(
        self, stage: Stage, draws: "Draws", size: tuple[int, int], unit: float
    ) -> list[Step]:
        """Blur, resizing and noise of a stage whose pixels are those of an image of `size`.

        Args:
            unit: pixels of such an image in which `stage.sigma` counts.
        """

        def soften(image: Tensor) -> Tensor:
            if not draws.chance(stage.blur):
                return image
            pixel = unit * image.shape[-1] / size[-1]
            return convolve(image, self._kernel(stage, draws, pixel))

        def rescale(image: Tensor) -> Tensor:
            if not draws.chance(stage.resize):
                return image
            zoom = draws.uniform(*stage.zoom)
            height, width = (max(1, round(length * zoom)) for length in size)
            return resize(image, (height, width), *draws.interpolation())

        def disturb(image: Tensor) -> Tensor:
            if not draws.chance(stage.noise):
                return image
            std = draws.uniform(*stage.noise_std) / 255
            strength = std * image.sqrt() if draws.chance(self.shot) else std
            channels = 1 if draws.chance(self.grey) else 3
            return image + strength * draws.normal(channels, *image.shape[-2:])

        return [soften, rescale, disturb]

    def _kernel(self, stage: Stage, draws: "Draws", pixel: float) -> Tensor:
        along = across = pixel * draws.uniform(*stage.sigma)
        if draws.chance(self.anisotropic):
            across = pixel * draws.uniform(*stage.sigma)
        tails = draws.tails() if draws.chance(self.generalised) else gaussian
        return kernel(along, across, math.pi * draws.uniform(), tails)

    def _compress(self, image: Tensor, stage: Stage, draws: "Draws", film: float) -> Tensor:
        if not draws.chance(stage.compress):
            return image
        if draws.chance(film):
            return film_frame(image, draws.uniform(*self.rate_factor))
        quality = round(draws.uniform(*stage.quality))
        if draws.chance(self.webp):
            return through_file(image, "WEBP", quality=quality, method=1)
        subsampling = "4:2:0" if draws.chance(self.subsampled) else "4:4:4"
        return through_file(image, "JPEG", quality=quality, subsampling=subsampling)


class Draws:
    """Everything that is random about one image, from one seed."""

    def __init__(self, seed: int):
        self.random = seeded(seed)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * torch.rand((), generator=self.random).item()

    def chance(self, share: float) -> bool:
        return self.uniform() < share

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random)

    def shuffled(self, steps: list[Step]) -> list[Step]:
        return [steps[k] for k in torch.randperm(len(steps), generator=self.random).tolist()]

    def interpolation(self) -> tuple[str, bool]:
        """Mode, and whether it is antialiased (which the mean over an area is by itself)."""
        mode = ("area", "bilinear", "bicubic")[int(self.uniform(0, 3))]
        return mode, self.chance(0.5) and mode != "area"

    def tails(self) -> Callable[[Tensor], Tensor]:
        """Of a generalised Gaussian or a plateau, with the exponents of Real-ESRGAN."""
        if self.chance(0.5):
            power = self.uniform(0.5, 1) if self.chance(0.5) else self.uniform(1, 4)
            return lambda q: torch.exp(-0.5 * q**power)
        power = self.uniform(1, 2)
        return lambda q: 1 / (1 + q**power)


def gaussian(q: Tensor) -> Tensor:
    return torch.exp(-0.5 * q)


def kernel(
    along: float, across: float, angle: float, tails: Callable[[Tensor], Tensor] = gaussian
) -> Tensor:
    """A blur, (2r + 1, 2r + 1), of sum 1.

    Args:
        along, across: standard deviations in pixels, in a direction and across it.
        angle: of that direction, in radians.
        tails: weight for the squared distance in standard deviations.
    """
    radius = min(RADIUS, math.ceil(3 * max(along, across)))
    y, x = grid(radius)
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    weights = tails((u / along) ** 2 + (v / across) ** 2)
    return weights / weights.sum()


def lowpass(cutoff: float) -> Tensor:
    """The ideal round lowpass, cut off: it rings at edges (the "sinc" of Real-ESRGAN).

    Args:
        cutoff: in radians per pixel; pi lets nearly everything pass.
    """
    y, x = grid(RINGING_RADIUS)
    distance = torch.hypot(x, y)
    weights = cutoff * torch.special.bessel_j1(cutoff * distance) / (2 * math.pi * distance)
    weights[RINGING_RADIUS, RINGING_RADIUS] = cutoff**2 / (4 * math.pi)  # the limit at 0
    return weights / weights.sum()


def grid(radius: int) -> tuple[Tensor, Tensor]:
    axis = torch.arange(-radius, radius + 1.0)
    return axis[:, None], axis[None, :]


def convolve(image: Tensor, weights: Tensor) -> Tensor:
    """(3, H, W) with a kernel of odd size, the border repeated."""
    side = weights.shape[-1] // 2
    bordered = F.pad(image[None], [side] * 4, mode="replicate")
    return F.conv2d(bordered, weights.expand(3, 1, -1, -1), groups=3)[0]


def resize(image: Tensor, size: tuple[int, int], mode: str, antialias: bool) -> Tensor:
    """(3, h, w) -> (3, *size) by `area`, `bilinear` or `bicubic` interpolation."""
    if image.shape[-2:] == size:
        return image
    smooth = {} if mode == "area" else {"antialias": antialias}
    return F.interpolate(image[None], size=size, mode=mode, **smooth)[0]


def to_array(image: Tensor) -> np.ndarray:
    """(3, h, w) in [0, 1] -> (h, w, 3) uint8."""
    values = image.clamp(0, 1).mul(255).round().byte()
    return values.permute(1, 2, 0).contiguous().numpy()


def from_array(values: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 -> (3, h, w) in [0, 1]."""
    return torch.from_numpy(values).permute(2, 0, 1).float().div(255)


def through_file(image: Tensor, kind: str, **options: Any) -> Tensor:
    """Written by Pillow as a file of that kind, in memory, and read again."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(to_array(image)).save(file, kind, **options)
    with Image.open(file) as decoded:
        return from_array(np.array(decoded.convert("RGB")))


def film_frame(image: Tensor, rate_factor: float) -> Tensor:
    """The last frame of a short H.264 film in which the image moves two pixels a frame.

    Raises:
        ModuleNotFoundError: without PyAV.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("film frames need PyAV: pip install av, or set film=0") from error

    height, width = image.shape[-2:]
    even = F.pad(image[None], (0, width % 2, 0, height % 2), mode="replicate")[0]
    last = to_array(even)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = last.shape[1], last.shape[0], "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1  # one thread: the same bits again
    encoder.options = {"crf": f"{rate_factor:.1f}", "preset": "veryfast"}
    packets = []
    for k in range(FRAMES):
        moved = np.ascontiguousarray(np.roll(last, 2 * (k + 1 - FRAMES), axis=1))
        frame = av.VideoFrame.from_ndarray(moved, format="rgb24").reformat(format="yuv420p")
        frame.pts = k
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    decoded = from_array(frames[-1].to_ndarray(format="rgb24"))
    return decoded[:, :height, :width]
