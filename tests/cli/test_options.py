"""Laws of the options of all verbs: one name, one type, one help text, few for every day."""

import inspect
import re
from collections import defaultdict
from typing import Literal, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from pseudorca import cli, project
from pseudorca.cli import options
from pseudorca.cli.options import columns_from
from pseudorca.errors import PseudorcaError
from pseudorca.formats.registry import FORMATS
from pseudorca.frontends.registry import FRONT_ENDS, IN_BANDS, PICTURES
from pseudorca.learning.heads.registry import HEADS

COMMANDS = typer.main.get_command(cli.app).commands
RUNNER = CliRunner()
MOST_EVERYDAY = 12


def options_of(verb: str) -> list:
    return [each for each in COMMANDS[verb].params if each.param_type_name == "option"]


ALL = [(verb, option) for verb in COMMANDS for option in options_of(verb)]


def plain_type(annotation) -> type:
    """The type of one value: of ``Annotated[list[int] | None, ...]`` that is ``int``."""
    while get_origin(annotation) is not Literal and (
        arguments := [each for each in get_args(annotation) if each is not type(None)]
    ):
        annotation = arguments[0]
    return annotation


TYPES = {
    (command.callback.__name__, parameter.name): plain_type(parameter.annotation)
    for command in cli.app.registered_commands
    for parameter in inspect.signature(command.callback).parameters.values()
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_options_of_a_verb_have_a_help_text_and_few_are_for_every_day(verb):
    for option in options_of(verb):
        assert option.help, option.opts
        assert option.rich_help_panel in options.PANELS, option.opts
    everyday = [each.opts for each in options_of(verb) if each.rich_help_panel is None]
    assert len(everyday) <= MOST_EVERYDAY, everyday


@pytest.mark.parametrize("verb", COMMANDS)
def test_options_of_a_verb_stand_in_the_order_of_their_panels(verb):
    names = [each.opts[0] for each in options_of(verb)]
    assert names[-1] == "--json"
    assert "--verbose" not in names[:-2]
    if "--project" in names:
        assert names[0] == "--project"
    before = [each for each in options_of(verb) if each.opts[0] not in ("--verbose", "--json")]
    order = [options.PANELS.index(each.rich_help_panel) for each in before]
    assert order == sorted(order)


def test_an_option_has_one_type_and_one_help_text_in_all_verbs():
    seen = defaultdict(set)
    for verb, option in ALL:
        seen[max(option.opts, key=len)].add((TYPES[verb, option.name], option.help))
    differing = {name for name, kinds in seen.items() if len(kinds) > 1}
    # Folders of noise for a scan, where nothing comes from for a recipe; audit has numbers of its own.
    assert differing == {"--nothing", "--permutations"}


def test_a_flag_shows_no_value():
    flags = [option for _, option in ALL if option.is_flag]
    assert flags
    assert {option.metavar for option in flags} == {""}


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_is_whole_in_a_terminal_of_80_columns(verb):
    text = RUNNER.invoke(cli.app, [verb, "--help"], env={"COLUMNS": "80", "TERM": "dumb"}).output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "…" not in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_choices_are_the_names_of_the_registries():
    chosen = {
        ("predict", "formats"): FORMATS,
        ("train", "head"): HEADS,
        ("embed", "front_end"): FRONT_ENDS,
    }
    for parameter, registry in chosen.items():
        kind = TYPES[parameter]
        assert list(get_args(kind) or map(str, kind)) == list(registry)


@pytest.mark.parametrize("registry", [FORMATS, HEADS, FRONT_ENDS])
def test_registries_hold_what_they_name(registry):
    for name, entry in registry.items():
        thing = entry.load()
        assert entry.help
        if registry is not FORMATS:
            assert thing.name == name


def test_front_ends_that_are_chosen_by_kind_are_front_ends():
    assert {*PICTURES, *IN_BANDS} <= set(FRONT_ENDS)


def test_names_of_options_shadow_no_name_of_the_domain():
    domain = {"Project", "Recipe", "Join", "Balance", "Search", "Split", "Embedder", "Classifier"}
    domain |= {"Progress", "Prior", "Precision", "Pad", "Layout", "Preparation", "Cluster", "Gate"}
    domain |= {"Computing", "Threads", "Workers", "Store", "Manifest", "Result", "Head"}
    own = {
        name for name, value in vars(options).items()
        if getattr(value, "__module__", None) in (options.__name__, "typing")
    }  # fmt: skip
    assert not own & domain
    assert hasattr(project, "Project")


def test_heads_of_a_comparison_are_refused_by_name(tmp_path):
    typed = ["compare", "-p", str(tmp_path), "--head", "svm", "--head", "nobody"]
    result = RUNNER.invoke(cli.app, typed)
    assert result.exit_code == 2
    assert "nobody" in result.output
    assert "softmax" in result.output


def test_columns_of_a_table_are_parted_by_commas_before_a_meaning() -> None:
    expected = {"path": "File, name", "label": "Population", "encounter": "Sighting = no"}
    whole = "path=File, name,label=Population, encounter=Sighting = no"
    assert columns_from([whole]) == expected
    assert columns_from([f"{name}={column}" for name, column in expected.items()]) == expected
    assert columns_from(None) == {}
    for wrong in ("Filename", "path=a,path=b", "=a"):
        with pytest.raises(PseudorcaError, match="--columns"):
            columns_from([wrong])
