"""A recipe is typed as it was typed, and tells classifiers that were made alike from others."""

import json
import shlex
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pseudorca.cli.options import TunableRecipeGroup, with_groups
from pseudorca.errors import HeadError
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.preparation import Preparation
from pseudorca.learning.pseudo_labels import PseudoLabels
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.tuning import Tuning

LINES = (
    "",
    "--head svm --c 3 --head-set width=0.2",
    "--join scores",
    "--head softmax --balance sampler --learning-rate 0.01 --momentum 0.95 --join scores",
    "--tune grid --seed 3",
    "--head forest --head-set n_trees=50 --tune grid",
    "--pseudo-labels 0.8 --pseudo-rounds 2 --pseudo-weight 0.5",
    "--head finetuned --epochs 3 --head-set stages=2 --head-set refit=false",
    "--head finetuned --head-set start=random --head-set head_start=zero",
    "--prepare reference=minus,centre=platform,scale",
)


def recipe(line: str) -> Recipe:
    """What a verb with these options would do."""
    recipes: list[Recipe] = []
    app = typer.Typer()

    @app.command()
    @with_groups
    def verb(*, recipe: TunableRecipeGroup, seed: int | None = None) -> None:
        recipes.append(recipe.make(seed))

    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == 0, result.output
    return recipes[0]


@pytest.mark.parametrize("line", LINES)
def test_what_was_typed_is_typed_again(line: str) -> None:
    typed = recipe(line)
    again = typed.arguments()
    assert recipe(again).settings() == typed.settings()
    assert bool(again) == bool(line)
    words = typed.describe()
    assert "None" not in words
    assert "False" not in words
    assert len(words) < 250


@pytest.mark.parametrize("line", LINES)
def test_settings_of_a_recipe_are_read_back(line: str) -> None:
    typed = recipe(line)
    again = Recipe.from_settings(json.loads(json.dumps(typed.settings())))
    assert again.settings() == typed.settings()
    assert again.id == typed.id
    assert again.describe() == typed.describe()
    assert again.arguments() == typed.arguments()


def test_a_setting_typed_as_it_usually_is_is_not_tuned() -> None:
    typed = recipe("--head softmax --learning-rate 0.001 --tune grid")
    assert list(typed.settings()["head"]["tuned"]["space"]) == ["momentum"]
    assert recipe(typed.arguments()).settings() == typed.settings()


@pytest.mark.parametrize(
    "parts",
    [
        {"head": make_head("finetuned"), "tuning": Tuning(space={"n_epochs": (1,)})},
        {"head": make_head("finetuned"), "join": "scores"},
        {"head": make_head("finetuned"), "pseudo_labels": PseudoLabels()},
        {"head": make_head("finetuned"), "preparation": Preparation(centre="platform")},
        {"pseudo_labels": PseudoLabels(), "preparation": Preparation(centre="platform")},
        {"pseudo_labels": PseudoLabels(), "head": make_head("softmax")},
        {"join": "scores", "preparation": Preparation(reference="beside")},
        {"join": "votes"},
    ],
)
def test_parts_that_do_not_go_together_are_refused_at_once(parts: dict[str, Any]) -> None:
    with pytest.raises(HeadError):
        Recipe(**parts)


def test_an_audit_is_told_only_what_it_takes() -> None:
    for line, expected in (
        ("--tune grid --head svm --join scores", " --head svm --join scores"),
        ("--head finetuned --epochs 3", ""),
        ("--prepare scale,centre=platform", " --prepare centre=platform,scale"),
        ("--pseudo-labels 0.9 --c 0.1", " --c 0.1"),
    ):
        assert recipe(line).arguments(for_audit=True) == expected


def test_words_of_a_preparation_are_read_back() -> None:
    for made in (
        Preparation(),
        Preparation(True, True, "beside", "my ship", scale=True),
        Preparation(reference="minus"),
    ):
        assert Preparation.of(made.words) == made
