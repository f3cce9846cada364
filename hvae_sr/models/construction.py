"""How models are constructed: of checked arguments, and in bounded time and memory."""

import inspect
from abc import ABCMeta
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hvae_sr.storage.schema import checked_arguments

MOST_OPERATIONS = 100_000  # of a constructor: about ten seconds; a VDVAE of 78 groups needs 31,000
MOST_PARAMETERS = 2**31
ALLOCATING = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
_bounded: ContextVar[bool] = ContextVar("_bounded", default=False)


class _Bounds(TorchFunctionMode):
    """Stops a constructor that goes on for longer, or asks for more, than any model would need."""

    operations = 0
    numbers = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise ValueError(f"it takes more than {MOST_OPERATIONS:,} operations to build")
        result = func(*args, **(kwargs or {}))
        if func in ALLOCATING and isinstance(result, Tensor):
            self.numbers += result.numel()
            if self.numbers > MOST_PARAMETERS:
                raise ValueError(f"it has more than {MOST_PARAMETERS:,} parameters")
        return result


@contextmanager
def bounded() -> Iterator[None]:
    """Bound what is constructed inside, the models inside a model together with it.

    Raises:
        ValueError: for more than `MOST_OPERATIONS` or `MOST_PARAMETERS`.
    """
    if _bounded.get():
        yield
        return
    token, gradients = _bounded.set(True), torch.is_grad_enabled()
    try:
        with _Bounds():
            yield
    finally:
        torch.set_grad_enabled(gradients)  # which `no_grad` cannot do when its exit is one too many
        _bounded.reset(token)


class Constructed(ABCMeta):
    """The type of classes whose constructor is checked: see `hvae_sr.storage.schema`.

    The constructor gets all its arguments by name, copied, so that neither its defaults nor a
    caller's lists can change under a model's config.
    """

    if not TYPE_CHECKING:  # checkers and editors read the constructors themselves

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            arguments = checked_arguments(cls, args, kwargs)
            with bounded():
                return super().__call__(**arguments)

        @property
        def __signature__(cls) -> inspect.Signature:
            parameters = inspect.signature(cls.__init__).parameters.values()
            return inspect.Signature(list(parameters)[1:])
