"""What a degradation is, and the registry that finds one by the name that configs use."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NoReturn, TypeVar

import torch
from torch import Tensor

from hvae_sr.checks import one_of, whole
from hvae_sr.nn.images import check_images
from hvae_sr.registry import Registry

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Degradation(ABC):
    """A way to make LR images; subclasses are frozen dataclasses with a `name` of their own.

    The fields besides the scale are its arguments. They are what JSON can hold, for a model's
    config names the degradation that its weights are for.

    Args:
        scale: HR pixels per LR pixel along each side: 2, 3 or 4.

    Raises:
        ValueError: for an unknown scale.
    """

    scale: int
    name: ClassVar[str]
    can_project: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if whole("scale", self.scale) not in SCALES:
            raise ValueError(f"scale must be one of {SCALES}, not {self.scale!r}")

    @abstractmethod
    def __call__(self, hr: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """HR (N, C, H, W) in [0, 1] -> LR (N, C, H / scale, W / scale), rounded to 8 bits.

        Args:
            generator: what random degradations draw from, torch's own when left out.

        Raises:
            ValueError: if H or W is not a multiple of the scale.
        """

    @property
    def config(self) -> str | dict[str, Any]:
        """What `get_degradation` makes the same of: the name, with arguments where it has some."""
        arguments = asdict(self)
        del arguments["scale"]
        return {"name": self.name, **arguments} if arguments else self.name

    def check_size(self, hr: Tensor) -> None:
        """Refuse what is not (N, C, H, W), and sides that are not multiples of the scale.

        Raises:
            TypeError, ValueError: saying so.
        """
        check_images("hr", hr, channels=None)
        height, width = hr.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(
                f"a {width}x{height} image cannot be shrunk by {self.scale}: "
                f"crop it to multiples of {self.scale} first"
            )

    def linear(self, hr: Tensor) -> Tensor:
        """The operator A without rounding or clipping; see `LinearDegradation`.

        Raises:
            ValueError: for a degradation that is not linear, as do `adjoint`, `residual` and
                `project`.
        """
        self._refuse()

    def adjoint(self, lr: Tensor) -> Tensor:
        """A^T; see `LinearDegradation`."""
        self._refuse()

    def residual(self, hr: Tensor, lr: Tensor) -> Tensor:
        """y - A x; see `LinearDegradation`."""
        self._refuse()

    def project(self, hr: Tensor, lr: Tensor, rounds: int = 4, levels: int = 255) -> Tensor:
        """The nearest image to `hr` whose LR version is `lr`; see `LinearDegradation`."""
        self._refuse()

    def check_projection(self) -> None:
        """Refuse a degradation that is not linear, before any work is done.

        Raises:
            ValueError: saying so.
        """
        if not self.can_project:
            self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"the degradation {self.name!r} is not linear, so nothing can be projected onto the "
            "images that it makes the input of: leave `consistent` out"
        )


_REGISTRY: Registry[Degradation] = Registry(
    "degradation",
    {
        **dict.fromkeys(
            ("gaussian", "gaussian_corner", "bicubic", "area"), "hvae_sr.degradations.linear"
        ),
        "blind": "hvae_sr.degradations.blind",
    },
)
Class = TypeVar("Class", bound=type[Degradation])


def register_degradation(cls: Class) -> Class:
    """Class decorator that makes a `Degradation` known by its `name`.

    Raises:
        ValueError: when another degradation has this name; running a notebook's cell again
            replaces the class.
    """
    _REGISTRY.add(cls.name, cls)
    return cls


def get_degradation(name: str | Mapping[str, Any], scale: int) -> Degradation:
    """A degradation as a config describes it.

    Args:
        name: a registered name, or a mapping with that `name` and arguments.
        scale: HR pixels per LR pixel along each side: 2, 3 or 4.

    Raises:
        ValueError: for an unknown name, argument or scale.
    """
    arguments = {"name": name} if isinstance(name, str) else dict(name)
    chosen = arguments.pop("name", None)
    chosen = one_of("degradation", chosen, _REGISTRY.names)
    try:
        return _REGISTRY.get(chosen)(scale, **arguments)
    except TypeError as error:
        raise ValueError(f"degradation {chosen!r}: {error}") from error
