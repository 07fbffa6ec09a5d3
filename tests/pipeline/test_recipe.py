"""A recipe is typed as it was typed, and tells classifiers that were made alike from others."""

import shlex
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pseudorca.cli.head_options import TUNED_HEAD, TunedHeadOptions, with_head_options
from pseudorca.cli.options import Prepare, preparation_from
from pseudorca.learning.preparation import Preparation
from pseudorca.learning.recipe import arguments_of, describe_recipe, recipe_of
from pseudorca.store import Store

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


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store(tmp_path / "project", create=True)


def recipe(store: Store, line: str) -> dict[str, Any]:
    """What a verb with these options would note."""
    found: list[dict[str, Any]] = []
    app = typer.Typer()

    @app.command()
    @with_head_options
    def verb(
        head: TunedHeadOptions = TUNED_HEAD, prepare: Prepare = None, seed: int | None = None
    ) -> None:
        made = head.make_tuned(store, seed)
        found.append(recipe_of(store, "an embedder", made, preparation_from(prepare)))

    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == 0, result.output
    return found[0]


@pytest.mark.parametrize("line", LINES)
def test_what_was_typed_is_typed_again(store: Store, line: str) -> None:
    made = recipe(store, line)
    again = arguments_of(made)
    assert recipe(store, again) == made
    assert bool(again) == bool(line)
    words = describe_recipe(made)
    assert "None" not in words
    assert "False" not in words
    assert len(words) < 250


def test_an_audit_is_told_only_what_it_takes(store: Store) -> None:
    for line, expected in (
        ("--tune grid --head svm --join scores", " --head svm --join scores"),
        ("--head finetuned --epochs 3", ""),
        ("--pseudo-labels 0.9 --prepare scale,centre=platform", " --prepare centre=platform,scale"),
    ):
        assert arguments_of(recipe(store, line), for_audit=True) == expected


def test_words_of_a_preparation_are_read_back() -> None:
    for made in (
        Preparation(),
        Preparation(True, True, "beside", "my ship", scale=True),
        Preparation(reference="minus"),
    ):
        assert Preparation.of(made.words) == made
