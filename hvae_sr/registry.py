"""Classes by name. Those of the package are known by where they live and imported when asked for.

So a room can name what stands in another one without importing it, and `import hvae_sr` stays
cheap however many classes there are.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Generic, TypeVar

Registered = TypeVar("Registered")
INTERACTIVE = "__main__"  # the module of classes that a notebook or a script defines


class Registry(Generic[Registered]):
    """Names -> classes.

    Args:
        kind: what the classes are, for messages.
        modules: the package's own names -> the modules whose import registers them.
    """

    def __init__(self, kind: str, modules: Mapping[str, str]):
        self.kind = kind
        self._modules = dict(modules)
        self._classes: dict[str, type[Registered]] = {}

    def add(self, name: str, cls: type[Registered]) -> None:
        """Make a class known by a name; it replaces an earlier version of itself.

        A class of the same module and qualified name is an earlier version: notebooks run their
        cells again.

        Raises:
            ValueError: when another class has this name.
        """
        known = self._classes.get(name)
        if known is not None and _place(known) != _place(cls):
            raise ValueError(_clash(self.kind, name, _place(known), _place(cls)))
        home = self._modules.get(name)
        if known is None and home not in (None, cls.__module__):
            raise ValueError(_clash(self.kind, name, str(home), _place(cls)))
        self._classes[name] = cls

    def get(self, name: str) -> type[Registered]:
        """The class of a name.

        Raises:
            KeyError: when no class has this name.
        """
        if name not in self._classes and name in self._modules:
            import_module(self._modules[name])
        return self._classes[name]

    @property
    def names(self) -> list[str]:
        """All names, those of classes that are not imported yet included, sorted."""
        return sorted({*self._modules, *self._classes})


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _clash(kind: str, name: str, known: str, new: str) -> str:
    return f"two {kind}s are called {name!r}, {known} and {new}: give one of them another name"
