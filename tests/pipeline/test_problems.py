"""Problems belong to a stage, an embedder and a clip: one's failures excuse and erase no other's."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from pseudorca.compare.compare import CompareOptions, compare_project
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.known_embedders import known_embedders
from pseudorca.errors import HeadError
from pseudorca.learning.dataset import labelled_clips
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store, joint_id, problem_table

from .conftest import BACKBONE, RATE

SHORT = "Insular/Lasker_AC_10/20170710_031209_ch05_sel09.wav"


@pytest.fixture
def with_short_file(survey: Path, weights: Path, tmp_path: Path) -> tuple[Store, Path]:
    """A project embedded twice; the first embedder's window is longer than one of the files."""
    folder = tmp_path / "survey"
    shutil.copytree(survey, folder)
    noise = 0.1 * np.random.default_rng(3).standard_normal(round(0.02 * RATE))
    sf.write(folder / SHORT, noise, RATE, subtype="PCM_16")
    store = Store(tmp_path / "project", create=True)
    scan_project(store, folder, ScanOptions())
    clips_project(store, ClipOptions(window_s=None))
    options = EmbedderOptions(BACKBONE, str(weights))
    assert len(embed_project(store, options).problems) == 1
    finer = EmbedderOptions(BACKBONE, str(weights), settings=(("window_ms", 16),))
    assert embed_project(store, finer).problems.empty
    return store, folder


def test_embedders_that_fail_on_different_clips_are_compared(
    with_short_file: tuple[Store, Path], tmp_path: Path
) -> None:
    store, _ = with_short_file
    options = CompareOptions(splits=(Split("encounter", n_folds=2, n_repeats=1),))
    result = compare_project(store, options, tmp_path / "out").as_json()
    assert result["n_compared"] == 2
    splits = (Split("encounter", n_folds=2, n_repeats=1),)
    options = CompareOptions(classic=("logmel",), splits=splits)
    result = compare_project(store, options, tmp_path / "out").as_json()
    assert result["n_compared"] == 3
    failed = store.read("problems")
    assert failed["path"].tolist() == [SHORT, SHORT]  # the first network's, and that of logmel
    assert failed["embedder_id"].nunique() == 2


def test_a_scan_keeps_the_problems_of_recordings_that_are_still_there(
    with_short_file: tuple[Store, Path],
) -> None:
    store, folder = with_short_file
    before = store.read("problems")
    assert before["path"].tolist() == [SHORT]
    assert before[["clip_id", "embedder_id"]].notna().all(axis=None)
    for _ in range(2):
        scan_project(store, folder, ScanOptions())
        pd.testing.assert_frame_equal(store.read("problems"), before)
    clips = len(clips_project(store, ClipOptions(window_s=None)).clips)
    for embedder in known_embedders(store):
        found, _ = labelled_clips(
            store.read("clips"), store.read("recordings"), store, embedder.embedder_id
        )
        assert len(found) in (clips - 12, clips - 13)  # 12 are unlabelled, one is too short
    (folder / SHORT).unlink()
    scan_project(store, folder, ScanOptions())
    assert store.read("problems").empty


def test_a_stage_replaces_its_own_problems_alone(
    with_short_file: tuple[Store, Path], weights: Path
) -> None:
    store, _ = with_short_file
    first = store.read("problems")
    other = problem_table([(SHORT, "spectrograms", "silent", "")])
    store.append("problems", other)
    embed_project(store, EmbedderOptions(BACKBONE, str(weights)))
    found = store.read("problems").sort_values("stage", ignore_index=True)
    pd.testing.assert_frame_equal(found, pd.concat([first, other], ignore_index=True))


def test_a_bad_clip_does_not_excuse_its_neighbours(embedded: Store) -> None:
    clips, recordings = embedded.read("clips"), embedded.read("recordings")
    labelled = clips[clips["label"].notna()]
    path = recordings.set_index("recording_id")["path"][labelled["recording_id"].iloc[0]]
    ids = labelled["clip_id"].tolist()
    embedded.append_vectors("e", ids[2:], np.zeros((len(ids) - 2, 2), dtype=np.float32))
    row = (path, "embed", "silent", "", ids[0])
    embedded.append("problems", problem_table([row], embedder_id="e"))
    with pytest.raises(HeadError, match="1 of 24 labelled clips have no embedding"):
        labelled_clips(clips, recordings, embedded, "e")
    embedded.append("problems", problem_table([(*row[:4], ids[1])], embedder_id="other"))
    with pytest.raises(HeadError, match="1 of 24 labelled clips have no embedding"):
        labelled_clips(clips, recordings, embedded, "e")
    embedded.append("problems", problem_table([(*row[:4], ids[1])], embedder_id="e"))
    found, notices = labelled_clips(clips, recordings, embedded, "e")
    assert found["clip_id"].tolist() == ids[2:]
    assert len(notices) == 1


def test_each_member_of_a_joint_embedder_answers_for_its_own_clips(embedded: Store) -> None:
    ids = [f"clip{k}" for k in range(4)]
    vector = np.zeros((1, 2), dtype=np.float32)
    for embedder_id, missing in (("e", 1), ("f", 2)):
        for k in set(range(4)) - {missing, 3}:
            embedded.append_vectors(embedder_id, [ids[k]], vector)
        row = ("x.wav", "embed", "silent", "", ids[missing])
        embedded.append("problems", problem_table([row], embedder_id=embedder_id))
    assert embedded.unexplained(joint_id(["e", "f"]), ids) == {ids[3]}
    assert embedded.unexplained("e", ids[:3]) == set()
