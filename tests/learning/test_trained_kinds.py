"""What reads a saved classifier is decided by its kind alone, never by the order of imports."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import pseudorca as po
from pseudorca.errors import HeadError
from pseudorca.learning.heads.base import KINDS, LinearHead
from pseudorca.learning.heads.forest import ForestHead
from pseudorca.learning.heads.registry import make_head


def test_a_trained_head_without_a_kind_of_its_own_is_refused() -> None:
    with pytest.raises(TypeError, match="Centroid"):

        @dataclass
        class Centroid(LinearHead):
            """Inherits the kind of linear heads."""

    assert KINDS["linear"] is LinearHead


def test_a_kind_that_is_taken_is_refused() -> None:
    with pytest.raises(TypeError, match="LinearHead"):

        class Other(LinearHead):
            kind: ClassVar[str] = "linear"

    assert KINDS["linear"] is LinearHead


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("forest", {"n_trees": 2.5}),
        ("forest", {"n_trees": True}),
        ("forest", {"n_trees": "ten"}),
        ("forest", {"seed": "a"}),
        ("logistic", {"c": "abc"}),
        ("logistic", {"balance": 3}),
        ("svm", {"width": "wide"}),
        ("softmax", {"n_epochs": 1.5}),
    ],
)
def test_a_setting_of_another_type_is_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(HeadError, match=f"{name} head: {next(iter(settings))}"):
        make_head(name, **settings)


def test_numbers_of_numpy_are_numbers_and_whole_ones_may_be_written_as_real_ones() -> None:
    assert ForestHead(n_trees=np.int64(3)).n_trees == 3
    assert ForestHead(n_trees=3.0, seed=1.0).n_trees == 3
    assert po.LogisticHead(c=1).c == po.LogisticHead(c=np.float32(1)).c


@pytest.mark.parametrize("head", ["logistic", po.LogisticHead, None])
def test_a_recipe_takes_a_head_and_says_so(head: object) -> None:
    with pytest.raises(HeadError, match="Recipe: head: expected Head, got"):
        po.Recipe(head=head)  # type: ignore[arg-type]
