"""What `--help` says: every command, in order, every default, and no option without a use."""

import ast
import inspect
import re
import textwrap
from typing import Any

import pytest
import typer

from hvae_sr import cli
from hvae_sr.cli.app import COMMANDS, app

ROOT: Any = typer.main.get_command(app)
OPTIONS = [
    pytest.param(name, option, id=f"{name}-{option.name}")
    for name, command in ROOT.commands.items()
    for option in command.params
]


def bare(text: str) -> str:
    """Without white space, as lines are wrapped anywhere."""
    return "".join(text.split())


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.run([*arguments, "--help"]) == 0
    return capsys.readouterr().out


def test_commands_are_listed_in_the_order_of_their_use_with_a_whole_sentence(capsys):
    assert sorted(ROOT.commands) == sorted(COMMANDS)
    listing = said(capsys).split("Commands:")[1]
    names = [line.split()[0] for line in listing.splitlines() if line[2:3].strip()]
    assert names == list(COMMANDS)
    assert "..." not in listing and listing.count(".") >= len(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    text = said(capsys, name)
    assert text.startswith("Usage: ")
    assert not re.search(r"\b(pictures?|is no|not there)\b", text)
    assert bare(inspect.getdoc(ROOT.commands[name].callback).split("\n\n")[0]) in bare(text)


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_explained_and_shows_its_default(name, option, capsys):
    text = bare(said(capsys, name))
    assert option.help and bare(option.help) in text
    optional = option.param_type_name == "option" and not option.required
    if isinstance(option.show_default, str):
        assert f"default:({bare(option.show_default)})" in text
    elif optional and not option.is_flag and option.default is not None:
        assert f"default:{bare(str(option.default))}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_does_nothing(name):
    callback = ROOT.commands[name].callback
    tree = ast.parse(textwrap.dedent(inspect.getsource(callback)))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    used = {
        node.id
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    assert {option.name for option in ROOT.commands[name].params} <= used
