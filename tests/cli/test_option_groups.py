"""A group of options is written once and reaches every verb that takes it."""

from dataclasses import fields

import pytest
import typer
from typer.testing import CliRunner

from pseudorca.cli.options import RecipeGroup, TunableRecipeGroup, with_groups
from pseudorca.errors import PseudorcaError


def test_each_field_is_an_option_and_comes_back_in_one_object():
    seen = []
    app = typer.Typer()

    @app.command()
    @with_groups
    def verb(*, name: str, recipe: TunableRecipeGroup, n: int = 1) -> None:
        """Says what it got."""
        seen.append((name, recipe, n))

    typed = ["x", "--head", "softmax", "--balance", "sampler", "--epochs", "3", "--n", "2"]
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 0, done.output
    expected = TunableRecipeGroup("softmax", "sampler", epochs=3)
    assert seen == [("x", expected, 2)]
    assert CliRunner().invoke(app, ["x"]).exit_code == 0
    assert seen[-1] == ("x", TunableRecipeGroup(), 1)
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for field in fields(TunableRecipeGroup):
        assert f"--{field.name.replace('_', '-')}" in text
    assert "Says what it got." in text


def test_settings_become_a_head():
    recipe = RecipeGroup("softmax", learning_rate=0.01, epochs=3).make(seed=7)
    settings = recipe.head.settings()
    assert (settings["learning_rate"], settings["n_epochs"], settings["seed"]) == (0.01, 3, 7)


def test_settings_of_pseudo_labels_without_them_are_refused():
    for options in (TunableRecipeGroup(pseudo_rounds=2), TunableRecipeGroup(pseudo_weight=0.5)):
        with pytest.raises(PseudorcaError, match="--pseudo-labels"):
            options.make(seed=None)
