"""Options that make no sense: an error at once, on one line, with nothing left behind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.errors import PseudorcaError
from pseudorca.project import Project
from pseudorca.recordings import audio, manifest
from pseudorca.store import Store

runner = CliRunner()
RATE = 8_000


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("Insular", "Pelagic", "Noise"):
        folder = tmp_path / "data" / label / f"{label[0]}ette_AC_1"
        folder.mkdir(parents=True)
        sf.write(folder / "20170728_031259_ch01_sel01.wav", 0.1 * rng.standard_normal(RATE), RATE)
    (tmp_path / "other.csv").write_text("file,label\nnowhere.wav,Insular\n")
    (tmp_path / "times.csv").write_text(
        "encounter,start_utc\nIette_AC_1,soon\nPette_AC_1,2017-07-28T03:12:59\n"
    )
    return tmp_path / "data"


@pytest.fixture
def project(collection: Path, tmp_path: Path) -> Path:
    result = runner.invoke(
        cli.app, ["scan", str(collection), "--project", str(tmp_path / "project")]
    )
    assert result.exit_code == 0
    return tmp_path / "project"


@pytest.fixture
def no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a file can be read."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("sound was read before the options were checked")

    monkeypatch.setattr(audio, "Reader", refuse)
    monkeypatch.setattr(manifest.audio, "inspect", refuse)


def complaint(arguments: list[str]) -> str:
    """The one-line error of a command."""
    result = runner.invoke(cli.app, arguments)
    assert isinstance(result.exception, PseudorcaError), (result.output, result.exception)
    return str(result.exception)


SCAN = {
    "--cut-gaps -1": ["--cut-gaps", "-1"],
    "--cut-gaps nan": ["--cut-gaps", "nan"],
    "--cut-gaps inf": ["--cut-gaps", "inf"],
    "Did you mean 'Insular'": ["--labels", "Insula,Pelagic"],
    "in --other": ["--other", "Noize"],
    "nowhere.csv cannot be read": ["--metadata", "nowhere.csv"],
    "names none of the 3 recordings": ["--metadata", "other.csv"],
    "'soon' of Insular/": ["--metadata", "times.csv"],
    "is not a regular expression": ["--name-pattern", "(?P<start>"],
    "has the named groups none": ["--name-pattern", "x"],
    "is not a strptime format": ["--name-pattern", "(?P<start>\\d{8})", "--time-format", "%Q"],
    "it has no directive": ["--name-pattern", "(?P<start>\\d{8})", "--time-format", "YYYY"],
    "does not fit %H%M": ["--name-pattern", "(?P<start>\\d{8})", "--time-format", "%H%M"],
}


@pytest.mark.parametrize("expected", SCAN)
def test_scan_refuses_options_before_it_reads_and_leaves_no_project(
    expected: str, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_sound: None
) -> None:
    monkeypatch.chdir(tmp_path)
    new = tmp_path / "a" / "new"
    text = complaint(["scan", str(collection), "--project", str(new), *SCAN[expected]])
    assert expected in text
    assert not (tmp_path / "a").exists()


def test_scan_finds_other_sounds_that_the_metadata_names(collection: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("encounter,label\nNette_AC_1,Ships\n")
    result = runner.invoke(
        cli.app,
        ["scan", str(collection), "--project", str(tmp_path / "p"), "--other", "ships",
         "--metadata", str(table)],
    )  # fmt: skip
    assert result.exit_code == 0, result.exception
    assert Store(tmp_path / "p").setting("other") == ["Ships"]


def test_scan_that_fails_keeps_a_project_that_was_there(
    project: Path, collection: Path, tmp_path: Path
) -> None:
    complaint(["scan", str(collection), "--project", str(project), "--labels", "Nobody"])
    complaint(["scan", str(tmp_path / "nowhere"), "--project", str(project)])
    assert len(Store(project).read("recordings")) == 3


def test_scan_of_an_empty_folder_ends_with_status_1_and_changes_nothing(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    new = runner.invoke(
        cli.app, ["scan", str(tmp_path / "empty"), "--project", str(tmp_path / "n")]
    )
    assert new.exit_code == 1
    assert "There is no audio file" in new.output
    assert not (tmp_path / "n").exists()
    again = runner.invoke(cli.app, ["scan", str(tmp_path / "empty"), "--project", str(project)])
    assert again.exit_code == 1
    assert len(Store(project).read("recordings")) == 3


def test_scan_of_broken_files_alone_ends_with_status_1(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.wav").write_bytes(b"no sound")
    result = runner.invoke(
        cli.app, ["scan", str(tmp_path / "data"), "--project", str(tmp_path / "p")]
    )
    assert result.exit_code == 1
    assert "x.wav" in result.output


def test_clips_without_any_end_with_status_1(project: Path) -> None:
    result = runner.invoke(cli.app, ["clips", "--project", str(project), "--channels", "9"])
    assert result.exit_code == 1
    assert "0 clips" in result.output
    assert "no such channel" in result.output
    embed = runner.invoke(cli.app, ["embed", "--project", str(project), "--threads", "1"])
    assert embed.exit_code == 1


def test_demo_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is not a folder" in complaint(["demo", "nowhere"])
    assert list(tmp_path.iterdir()) == []


NUMBERS = {
    "embed": [
        ["--slow", "0"], ["--slow", "-2"], ["--slow", "nan"], ["--slow", "inf"], ["--slow", "1000"],
    ],
    "clips": [
        ["--window", "0"], ["--window", "-3"], ["--window", "nan"], ["--window", "inf"],
        ["--overlap", "nan"], ["--overlap", "-1"], ["--overlap", "3"],
    ],
    "predict": [
        ["--gate", "nan"], ["--gate", "0"], ["--gate", "inf"], ["--max-gap", "-1"],
        ["--max-gap", "nan"], ["--max-gap", "inf"], ["--max-error", "2"], ["--max-error", "nan"],
        ["--min-probability", "3"], ["--min-probability", "nan"], ["--max-novelty", "0"],
        ["--max-novelty", "nan"],
    ],
    "decide": [
        ["--max-gap", "-1"], ["--max-error", "0"], ["--min-probability", "-1"],
        ["--max-novelty", "-1"],
    ],
    "evaluate": [
        ["--max-error", "2"], ["--max-error", "0"], ["--max-error", "nan"], ["--c", "0"],
        ["--c", "nan"], ["--c", "inf"], ["--c", "0", "--tune", "grid"],
        ["--learning-rate", "nan", "--head", "softmax"], ["--momentum", "1", "--head", "softmax"],
        ["--pseudo-labels", "nan"], ["--pseudo-labels", "1.5"],
        ["--pseudo-weight", "nan", "--pseudo-labels", "0.9"],
    ],
    "audit": [["--c", "0"], ["--c", "nan"], ["--c", "-1"]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "options"), [(verb, each) for verb, every in NUMBERS.items() for each in every]
)
def test_numbers_that_make_no_sense_are_refused_by_their_option(
    verb: str, options: list[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if verb in ("predict", "decide"):
        _with_classifier(monkeypatch, Store(project))
    text = complaint([verb, "--project", str(project), *options])
    assert "\n" not in text
    assert f"{options[0]} {float(options[1]):g}" in text
    assert "expected" in text


def _with_classifier(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """A project in which something was predicted, as far as the wishes of a user are concerned."""
    from types import SimpleNamespace

    from pseudorca.frontends.common import CommonFrontEnd
    from pseudorca.prediction import predict

    classifier = SimpleNamespace(
        classifier_id="c",
        classes=["Insular", "Pelagic"],
        training={"n_encounters": {"Insular": 1, "Pelagic": 1}},
        embedder=SimpleNamespace(front_end=CommonFrontEnd()),
    )
    monkeypatch.setattr(predict, "_find_classifier", lambda *_: ("classifier", classifier))
    wishes = {"name": "classifier", "gate_db": None, "set_name": "unlabelled"}
    store.record_run("predict", wishes, ())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--prior", "Insular=2,Pelagic=1"], "add up to 3"),
        (["--prior", "Insular=0.5,Pelagik=0.5"], "unknown: Pelagik"),
        (["--gate", "0"], "--gate 0"),
        (["--max-gap", "-1"], "--max-gap -1"),
        (["--out", "a_file"], "expected a folder"),
    ],
)
def test_predict_refuses_options_before_it_reads(
    options: list[str], expected: str, project: Path, collection: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, no_sound: None,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").touch()
    _with_classifier(monkeypatch, Store(project))
    text = complaint(["predict", str(collection), "--project", str(project), *options])
    assert expected in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--backbone", "resnet81"], "unknown backbone 'resnet81'"),
        (["--backbone", "pseudorca_small+nobody"], "unknown backbone 'nobody'"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--band", "17k"], "17k"),
        (["--set", "rows=3"], "rows"),
        (["--augment", "1", "--augment-set", "gain=3"], "gain"),
        (["--augment-set", "gain_db=3"], "add --augment 3"),
        (["--workers", "2", "--cluster", "tcp://x"], "choose one"),
    ],
)
def test_embed_refuses_options_before_it_embeds(
    options: list[str], expected: str, project: Path, no_sound: None
) -> None:
    assert expected in complaint(["embed", "--project", str(project), *options])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--backbones", "resnet81"], "unknown backbone 'resnet81'"),
        (
            ["--backbones", "resnet18", "--weights", "resnet18=nowhere.pth"],
            "no such weights file",
        ),
    ],
)
def test_reproduce_refuses_networks_before_it_reads_and_leaves_no_folder(
    options: list[str], expected: str, collection: Path, tmp_path: Path, no_sound: None
) -> None:
    out = tmp_path / "out"
    assert expected in complaint(["reproduce", str(collection), "--out", str(out), *options])
    assert not out.exists()


@pytest.mark.parametrize(
    "options", [["--effect", "nan"], ["--confound", "7"], ["--encounters", "-1"],
                ["--set", "min_snr_db=NaN"], ["--set", "rows=2"]],
)  # fmt: skip
def test_simulate_refuses_options_and_leaves_no_folder(options: list[str], tmp_path: Path) -> None:
    complaint(["simulate", str(tmp_path / "s"), *options])
    assert not (tmp_path / "s").exists()


def test_a_folder_without_raven_tables_cuts_nothing(project: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert ".txt" in complaint(["clips", "--project", str(project), "--selections", str(empty)])
    assert Store(project).setting("selections") is None


def test_a_seed_is_given_once_by_either_option() -> None:
    from pseudorca.cli.options import RecipeGroup

    recipe = RecipeGroup("softmax", head_set=["seed=3"]).make(None)
    assert recipe.head.settings()["seed"] == 3
    for options, seed in ((["seed=3"], 4), (["name=x"], None)):
        with pytest.raises(PseudorcaError, match=r"twice|--head"):
            RecipeGroup("softmax", head_set=options).make(seed)


WRONG_CALLS: list[tuple[str, dict[str, object], str]] = [
    ("evaluate", {"splits": []}, "splits is empty"),
    ("evaluate", {"recipe": "logistic"}, "expected a Recipe"),
    ("train", {"recipe": "logistic"}, r"Recipe\(head="),
    ("audit", {"n_permutations": 3}, "at least 20"),
    ("audit", {"quick": "yes"}, "quick"),
    ("embed", {"band": 16}, "band: expected text or None, got 16"),
    ("embed", {"backbone": None}, "backbone"),
    ("embed", {"slow": "2"}, "slow"),
    ("clips", {"window_s": "3"}, "window_s"),
    ("clips", {"max_per_recording": 1.5}, "max_per_recording"),
    ("folds", {"n_folds": "5"}, "n_folds"),
    ("predict", {"classifier": 7}, "classifier: expected its name"),
    ("predict", {"prior": [0.1, 0.9]}, "prior: expected"),
    ("predict", {"prior": {"Insular": "a"}}, "prior: expected"),
    ("predict", {"min_moments": 1.5}, "min_moments"),
    ("scan", {"recordings": ".", "cut_gaps_h": "1"}, "cut_gaps_h"),
]


@pytest.mark.parametrize(("verb", "arguments", "expected"), WRONG_CALLS)
def test_a_wrong_argument_in_python_is_refused_in_words(
    verb: str, arguments: dict[str, object], expected: str, project: Path, no_sound: None
) -> None:
    with pytest.raises(PseudorcaError, match=expected):
        getattr(Project.open(project), verb)(**arguments)


def test_one_name_stands_for_a_list_of_one(project: Path, collection: Path, no_sound: None) -> None:
    with pytest.raises(PseudorcaError, match="'Nose'"):
        Project.open(project).scan(collection, other="Nose")
    with pytest.raises(PseudorcaError, match="classifier"):
        Project.open(project).predict(formats="raven")  # the format is fine, there is no classifier
