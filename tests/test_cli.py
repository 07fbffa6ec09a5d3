"""The command line: documented, quick to answer, and plain about mistakes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.cli.demo import _say as say_demo
from pseudorca.cli.options import settings_from
from pseudorca.errors import ManifestError, PseudorcaError, SimulationError
from pseudorca.store import Store

ROOT = Path(__file__).parents[1]
VERBS = sorted(
    (command.name or command.callback.__name__) for command in cli.app.registered_commands
)
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("Insular", "Pelagic", "Unknown"):
        for number in (1, 2):
            path = tmp_path / "data" / label / f"{label[0]}ette_AC_{number}"
            path.mkdir(parents=True)
            sf.write(
                path / "20170728_031259_ch01_sel01.wav", 0.1 * rng.standard_normal(8_000), 8_000
            )
    return tmp_path / "data"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_place_in_the_readme(verb):
    result = runner.invoke(cli.app, [verb, "--help"])
    assert result.exit_code == 0
    readme = (ROOT / "README.md").read_text()
    assert re.search(rf"(pseudorca |`){verb}\b", readme)


@pytest.mark.parametrize(
    "verb",
    sorted(set(VERBS) - {"backbones", "contours", "demo", "events", "reproduce", "simulate"}),
)
def test_every_verb_takes_project_and_json(verb):
    text = runner.invoke(cli.app, [verb, "--help"], env={"COLUMNS": "200"}).output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "--json" in plain
    assert "--project" in plain


def test_help_imports_neither_torch_nor_pandas():
    code = (
        "import sys\nsys.argv = ['pseudorca', '--help']\n"
        "from pseudorca import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'lancedb', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_json_is_one_object_on_stdout_and_messages_go_to_stderr(folder, tmp_path):
    command = [sys.executable, "-c", "from pseudorca.cli import main; main()", "scan", str(folder)]
    done = subprocess.run(
        [*command, "--project", str(tmp_path / "p"), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert {key: result[key] for key in ("n_recordings", "n_labelled", "n_unlabelled")} == {
        "n_recordings": 6, "n_labelled": 4, "n_unlabelled": 2,
    }  # fmt: skip
    assert result["classes"] == {"Insular": 2, "Pelagic": 2}
    assert (result["n_encounters"], result["n_problems"], result["problems"]) == (6, 0, [])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["scan", "data/nowhere", "-p", "a"], "is not a folder"),
        (["train", "-p", "b"], "Begin with: pseudorca scan"),
        (["backbones", "resnet81"], "Did you mean"),
        (["scan", "data", "-p", "data"], "is not empty"),
    ],
)
def test_mistakes_are_one_line_on_stderr_and_status_2(
    arguments, expected, folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr(sys, "argv", ["pseudorca", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert expected in said.err


def test_a_process_ends_with_the_status_of_a_mistake(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from pseudorca.cli import main; main()",
         "scan", str(tmp_path / "nowhere"), "-p", str(tmp_path / "a")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_demo_of_one_population_ends_before_the_slow_part(folder, tmp_path):
    for data in (folder / "Insular", tmp_path):
        shutil.rmtree(folder / "Pelagic", ignore_errors=True)
        out = tmp_path / "out" / data.name
        result = runner.invoke(cli.app, ["demo", str(data), "--out", str(out)])
        assert isinstance(result.exception, ManifestError)
        assert "takes at least 2" in str(result.exception)
        assert str(data) in str(result.exception)
        assert not (out / "project" / "embedder").exists()


@pytest.mark.slow
def test_demo_goes_on_where_a_class_has_one_encounter(folder, tmp_path):
    shutil.rmtree(folder / "Insular" / "Iette_AC_2")
    out = tmp_path / "out"
    done = runner.invoke(cli.app, ["demo", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    stages = [line for line in done.stderr.splitlines() if line.endswith(" ...")]
    assert len(stages) == 8  # without a terminal: a line per stage
    assert len(set(stages)) == 8
    lines = done.stdout.splitlines()
    left_out = [line for line in lines if line.startswith("Left out")]
    assert any("encounter" in line for line in left_out)
    assert "Home ground" not in done.stdout
    assert str(out / "project") in done.stdout
    assert lines[-1].strip().startswith("pseudorca predict --project")
    assert (out / "report.html").exists()


def test_demo_shows_its_answers_beside_the_hidden_truth(capsys):
    rows = [
        {"encounter": f"Sette_AC_{k}", "answer": "Insular", "probability": 0.876, "truth": truth,
         "right": right}
        for k, (truth, right) in enumerate([("Insular", "yes"), ("Pelagic", "no")])
    ]  # fmt: skip
    score = {"balanced_accuracy": 0.9, "ci_low": 0.6, "ci_high": 0.99, "majority_baseline": 0.5}
    say_demo(
        {"beside_truth": rows, "n_problems": 0, "n_labelled": 12, "backbone": "pseudorca_small",
         "by_encounter": score, "random": score, "verdict": "animals", "left_out": [],
         "output": "demo/report.html"},
        Path("demo", "project"),
    )  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    for k, words in enumerate((["truth", "right"], ["0.88", "Insular", "yes"], ["Pelagic", "no"])):
        assert all(word in lines[k] for word in words)
    assert "1 right, 1 wrong" in lines[3]
    assert "one simulator" in lines[-3]
    assert "demo/project" in lines[-2]
    assert lines[-1].strip() == "pseudorca demo FOLDER"


def test_demo_gives_every_collection_a_folder_of_its_own(folder, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("pseudorca.project.new_project", lambda place: made.append(place) or 1 / 0)
    runner.invoke(cli.app, ["demo", str(folder / "Insular")])
    assert made == [Path("demo_Insular", "project")]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("sample_rate=fast", "expected a whole number, or none for each recorder's own"),
        ("sample_rate=Infinity", "expected a whole number"),
        ("n_long=1.5", "expected a whole number"),
        ("northwestern=true", "expected a number"),
        ("recorders=5", 'several as ["one", "two"]'),
    ],
)
def test_settings_of_a_survey_say_what_they_take(setting, expected, tmp_path):
    result = runner.invoke(cli.app, ["simulate", str(tmp_path / "s"), "--set", setting])
    assert isinstance(result.exception, SimulationError)
    assert setting.partition("=")[0] in str(result.exception)
    assert expected in str(result.exception)


def test_recorders_of_a_survey_are_taken_by_name_and_keep_their_rates(tmp_path):
    out = tmp_path / "s"
    few = ["--encounters", "4", "--clips", "4", "--json"]
    for setting in (
        "sample_rate=none", "recorders=drifter_96k", "n_unknown_clips=0", "n_unknown_encounters=0"
    ):  # fmt: skip
        few += ["--set", setting]
    result = runner.invoke(cli.app, ["simulate", str(out), *few])
    assert result.exit_code == 0, result.exception
    settings = json.loads((out / "truth" / "survey.json").read_text())["settings"]
    assert (settings["sample_rate"], settings["recorders"]) == (None, ["drifter_96k"])


def test_noise_folder_without_a_recording_is_refused(tmp_path):
    (tmp_path / "noise").mkdir()
    command = ["simulate", str(tmp_path / "s"), "--noise", str(tmp_path / "noise")]
    result = runner.invoke(cli.app, command)
    assert isinstance(result.exception, SimulationError)
    assert "holds no recording" in str(result.exception)


def test_readable_output_names_classes_problems_and_notices(folder, tmp_path):
    (folder / "Insular" / "broken.wav").write_text("not audio")
    result = runner.invoke(cli.app, ["scan", str(folder), "-p", str(tmp_path / "p")])
    assert result.exit_code == 0
    assert "6 recordings" in result.stdout
    assert "Pelagic" in result.stdout
    assert "not audio" in result.stdout
    assert "too few to conclude" in result.stdout.replace("\n", " ")
    result = runner.invoke(cli.app, ["folds", "-p", str(tmp_path / "p"), "--split", "random"])
    assert result.exit_code == 0
    assert "verified" in result.stdout


def test_version_is_printed():
    assert runner.invoke(cli.app, ["--version"]).stdout.strip() == cli.__version__


def test_settings_are_read_as_json_or_text():
    typed = ["levels=pcen", "n_rows=64", "frame=false"]
    assert settings_from(typed) == {"levels": "pcen", "n_rows": 64, "frame": False}


@pytest.mark.parametrize(
    "command",
    [
        ["embed", "--project", "p", "--set", "n_rows=64", "--set", "n_rows=32"],
        ["embed", "--project", "p", "--augment", "1", "--augment-set", "seed=1", "--augment-set",
         "seed=2"],
        ["train", "--project", "p", "--head-set", "n_trees=5", "--head-set", "n_trees = 9"],
        ["train", "--project", "p", "--c", "2", "--head-set", "c=3"],
        ["train", "--project", "p", "--tune", "grid", "--c", "2", "--head-set", "c=3"],
        ["evaluate", "--project", "p", "--prepare", "centre=platform", "--prepare", "centre=day"],
        ["simulate", "s", "--set", "n_long=1", "--set", "n_long=2"],
        ["simulate", "s", "--effect", "2", "--set", "effect=3"],
        ["reproduce", "d", "--out", "o", "--weights", "resnet18=a", "--weights", "resnet18=b"],
    ],
)  # fmt: skip
def test_a_setting_given_twice_is_refused(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "p", create=True)
    result = runner.invoke(cli.app, command)
    assert isinstance(result.exception, PseudorcaError)
    assert "twice" in str(result.exception)


def test_settings_need_a_name():
    with pytest.raises(PseudorcaError, match="expected NAME=VALUE"):
        settings_from(["=5"])
