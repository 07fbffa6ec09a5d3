"""Every command of README is one that the command line takes, as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from pseudorca import cli

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = typer.main.get_command(cli.app).commands
ELLIPSIS = {"scan": ["recordings", "--project", "p"]}
"""What three dots stand for; of other verbs the project."""


def of_blocks() -> list[str]:
    """The commands of the indented blocks."""
    blocks = re.findall(r"```\n(.*?)```", README, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line.removeprefix("pseudorca ") for line in lines if line.startswith("pseudorca ")]


def of_rows() -> list[str]:
    """The commands of the table; what begins with an option goes on with the verb before it."""
    found = []
    for row in re.findall(r"^\| [^|]+ \| (`.*) \|$", README, re.MULTILINE):
        verb = ""
        for text in re.findall(r"`([^`]+)`", row):
            if " " in text and text.split()[0] in COMMANDS:
                verb = text.split()[0]
                found.append(text)
            elif text.startswith("--") and text != "--json" and verb:
                found.append(f"{verb} ... {text}")
    return found


@pytest.mark.parametrize("command", [*of_blocks(), *of_rows()])
def test_commands_of_readme_are_taken_as_they_stand(command: str) -> None:
    verb, *words = shlex.split(command)
    dots = ELLIPSIS.get(verb, ["--project", "p"])
    arguments = [part for word in words for part in (dots if word == "..." else [word])]
    COMMANDS[verb].make_context(verb, arguments)


def test_readme_has_commands() -> None:
    assert len(of_blocks()) > 10
    assert len(of_rows()) > 30
