"""Options of the head are written once and reach every verb that trains one."""

from dataclasses import fields

import pytest
import typer
from typer.testing import CliRunner

from pseudorca.cli.head_options import TUNED_HEAD, HeadOptions, TunedHeadOptions, with_head_options
from pseudorca.cli.options import Balance, HeadKind
from pseudorca.errors import PseudorcaError
from pseudorca.store import Store


def test_each_field_is_an_option_and_comes_back_in_one_object():
    seen = []
    app = typer.Typer()

    @app.command()
    @with_head_options
    def verb(name: str, head: TunedHeadOptions = TUNED_HEAD, n: int = 1) -> None:
        """Says what it got."""
        seen.append((name, head, n))

    typed = ["x", "--head", "softmax", "--balance", "sampler", "--epochs", "3", "--n", "2"]
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 0, done.output
    expected = TunedHeadOptions(HeadKind.softmax, Balance.sampler, epochs=3)
    assert seen == [("x", expected, 2)]
    assert CliRunner().invoke(app, ["x"]).exit_code == 0
    assert seen[-1] == ("x", TUNED_HEAD, 1)
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for field in fields(TunedHeadOptions):
        assert f"--{field.name.replace('_', '-')}" in text
    assert "Says what it got." in text


def test_settings_become_a_head():
    head = HeadOptions(HeadKind.softmax, learning_rate=0.01, epochs=3).make(seed=7)
    settings = head.settings()
    assert (settings["learning_rate"], settings["n_epochs"], settings["seed"]) == (0.01, 3, 7)


def test_settings_of_pseudo_labels_without_them_are_refused(tmp_path):
    for options in (TunedHeadOptions(pseudo_rounds=2), TunedHeadOptions(pseudo_weight=0.5)):
        with pytest.raises(PseudorcaError, match="--pseudo-labels"):
            options.make_tuned(Store(tmp_path / "project", create=True), seed=None)
