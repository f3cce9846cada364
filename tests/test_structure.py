"""How the package is built: what a room may import, and what importing it costs."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hvae_sr
from hvae_sr.models.registry import MODULES

ROOT = Path(__file__).parent.parent
PACKAGE = Path(hvae_sr.__file__).parent
MOST_ROOMS = 18
LONGEST_CLASS = 200  # lines

IMAGES = {"PIL", "av", "gradio"}
HEAVY = IMAGES | {"huggingface_hub", "accelerate", "skimage", "torchvision"}


def imported_by(statement: str) -> set[str]:
    """The top-level names in `sys.modules` after a statement, in a fresh interpreter."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    ["latents", "layers", "distributions", "noise", "resize", "windows", "discriminator"],
)
def test_nn_needs_torch_alone(module: str):
    found = imported_by(f"import hvae_sr.nn.{module}")
    assert "torch" in found
    assert not found & HEAVY


def test_a_degradation_is_found_by_name_without_reading_images():
    statement = "from hvae_sr.degradations import get_degradation; get_degradation('blind', 4)"
    assert not imported_by(statement) & HEAVY


@pytest.mark.parametrize("module", ["base", "latent", "registry", *sorted(MODULES)])
def test_models_are_built_without_reading_images(module: str):
    home = MODULES.get(module, f"hvae_sr.models.{module}")
    assert not imported_by(f"import {home}") & (HEAVY - {"huggingface_hub"})


def test_a_model_is_imported_when_its_name_is_asked_for():
    code = "from hvae_sr.models.registry import find; import sys; {}; print(*sorted(sys.modules))"
    found = []
    for statement in ("pass", "find('EDSR', None)"):
        command = [sys.executable, "-c", code.format(statement)]
        found.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert "hvae_sr.models.edsr" not in found[0] and "hvae_sr.models.edsr" in found[1]
    assert "hvae_sr.models.biva" not in found[1]


def test_the_front_of_the_package_does_not_import_torch():
    assert "torch" not in imported_by("import hvae_sr")


def rooms() -> set[str]:
    """What lies in the package itself: folders with code, and modules."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    return modules | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def drawn_order() -> list[str]:
    """The rooms as the table of CONTRIBUTING lists them, from the top."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.split("| room | what it holds |", 1)[1].split("\n\n", 1)[0]
    first_cells = [row.split("|")[1] for row in table.splitlines() if row.count("|") > 2]
    return re.findall(r"`hvae_sr/(\w+)(?:/|\.py)`", " ".join(first_cells))


class Imports(ast.NodeVisitor):
    """Full names of what a file imports from the package, lazily too, but not for annotations."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        test = node.test
        if isinstance(test, ast.Name | ast.Attribute) and "TYPE_CHECKING" in ast.dump(test):
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports name their rooms"
        self.found |= {f"{node.module}.{alias.name}" for alias in node.names}

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "hvae_sr":
            self.found.add(f"hvae_sr.{node.attr}")  # touching a name of the front imports its room


def arrows() -> Iterator[tuple[str, str, str]]:
    """(file, its room, a room that it imports), for every import between rooms."""
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if inside.name == "app.py" or inside in (Path("__init__.py"), Path("__main__.py")):
            continue
        visitor = Imports()
        visitor.visit(ast.parse(path.read_text()))
        room = inside.parts[0].removesuffix(".py")
        for name in visitor.found:
            parts = name.split(".")
            if parts[0] == "hvae_sr" and len(parts) > 1:
                home = hvae_sr._HOMES.get(parts[1], parts[1]).split(".")[0]
                if home in rooms() and home != room:
                    yield str(inside), room, home


class TestRooms:
    def test_all_are_drawn_and_they_are_few(self):
        assert sorted(drawn_order()) == sorted(rooms())
        assert len(rooms()) <= MOST_ROOMS

    def test_no_arrow_points_upwards(self):
        order = drawn_order()
        upwards = [
            f"{file} imports {home}"
            for file, room, home in arrows()
            if order.index(home) <= order.index(room)
        ]
        assert upwards == []

    def test_there_is_no_circle(self):
        below: dict[str, set[str]] = {}
        for _, room, home in arrows():
            below.setdefault(room, set()).add(home)
        assert set(TopologicalSorter(below).static_order()) <= rooms()
        assert {"nn", "errors"} <= below["models"]  # the arrows were read

    def test_names_are_imported_on_demand_in_three_places_only(self):
        """An import that is a string is an arrow that nobody can read."""
        found = {
            path.relative_to(PACKAGE).as_posix()
            for path in PACKAGE.rglob("*.py")
            if re.search(r"import_module|__import__", path.read_text())
        }
        assert found == {"__init__.py", "models/__init__.py", "registry.py"}


def test_no_class_of_the_models_does_everything():
    for path in PACKAGE.glob("models/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                assert lines <= LONGEST_CLASS, f"{node.name} of {path.name} has {lines} lines"
