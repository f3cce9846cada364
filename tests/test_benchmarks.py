"""`python -m benchmarks`: what there is, in a line each, and one sentence when something fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks

ROOT = Path(__file__).parent.parent


def test_help_names_every_command_in_a_line_and_imports_none_of_them():
    code = "import sys; from benchmarks.__main__ import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *lines, modules = done.stdout.splitlines()
    listed = dict(line.split(None, 1) for line in lines[2:])
    assert list(listed) == benchmarks.names()
    assert all(sentence.endswith((".", ":")) for sentence in listed.values())
    assert all(len(line) <= 100 for line in lines)
    loaded = set(modules.split())
    assert not {"torch", "gradio", "PIL", "av"} & loaded
    assert not any(f"benchmarks.{name.replace('-', '_')}" in loaded for name in listed)


@pytest.mark.parametrize("name", benchmarks.names())
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        benchmarks.main([name, "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m benchmarks {name}")
    assert benchmarks.described(name) in said


def test_an_unknown_name_lists_those_that_exist(capsys):
    assert benchmarks.main(["absent"]) == benchmarks.main([]) == 2
    said = capsys.readouterr()
    assert not said.out and all(name in said.err for name in benchmarks.names())
