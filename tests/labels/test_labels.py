"""Labels: what was said is never lost, and one label is in force per unit and question."""

import json
import multiprocessing
from collections import Counter
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.access import locked
from pseudorca.errors import PseudorcaError, StoreError
from pseudorca.labels.annotation import Annotation, answers_in_force, labels_in_force
from pseudorca.labels.labels import Labels, append_lines, journal_path, read_journal
from pseudorca.store import TABLES, Store

PEOPLE, ANSWERS, UNITS = ("Ana", "Ben", "Cho"), ("whistle", "click", "ship"), ("c1", "c2")


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return Labels(Store(tmp_path / "project", create=True))


def said(answer: str = "whistle", annotator: str = "Ana", **more: Any) -> Annotation:
    about = {"unit": "clip", "unit_id": "c1", "question": "content"}
    return Annotation(**(about | {"answer": answer, "annotator": annotator} | more))


@st.composite
def logs(draw: st.DrawFn) -> list[Annotation]:
    """Answers, adjudications, corrections and retractions, in the order of writing."""
    rows: list[Annotation] = []
    for k in range(draw(st.integers(0, 12))):
        replaces = draw(st.none() | st.sampled_from([row.annotation_id for row in rows] or [None]))
        who = draw(st.sampled_from(PEOPLE))
        if replaces is not None and draw(st.booleans()):
            rows.append(
                Annotation(annotation_id=str(k), annotator=who, action="retract", replaces=replaces)
            )
            continue
        rows.append(
            said(
                draw(st.sampled_from(ANSWERS)), who, annotation_id=str(k), replaces=replaces,
                action=draw(st.sampled_from(("add", "add", "adjudicate"))),
                unit_id=draw(st.sampled_from(UNITS)),
            )
        )  # fmt: skip
    return rows


# The fold


@given(logs())
def test_fold_gives_an_adjudicated_answer_before_an_agreed_one_before_a_single_one(
    rows: list[Annotation],
) -> None:
    alive = answers_in_force(rows)
    folded = labels_in_force(rows)
    assert {key[1] for key in folded} == {row.unit_id for row in alive}
    for (_, unit_id, _), label in folded.items():
        mine = [row for row in alive if row.unit_id == unit_id]
        last_of = {row.annotator: row.answer for row in mine}
        votes = Counter(last_of.values())
        assert label.n_annotators == len(last_of)
        adjudicated = [row.answer for row in mine if row.action == "adjudicate"]
        if adjudicated:
            assert (label.standing, label.answer) == ("adjudicated", adjudicated[-1])
        elif label.answer is None:
            assert label.standing == "disputed"
            assert list(votes.values()).count(max(votes.values())) > 1
        else:
            assert all(votes[label.answer] > n for name, n in votes.items() if name != label.answer)
            assert label.standing == ("agreed" if votes[label.answer] > 1 else "single")
            assert label.last.answer == label.answer


@given(logs())
def test_fold_of_one_unit_depends_on_no_other_unit(rows: list[Annotation]) -> None:
    ids = {row.annotation_id: row.unit_id for row in rows}
    for row in rows:  # a retraction is about the unit of what it retracts
        if row.replaces is not None and row.unit_id is None:
            ids[row.annotation_id] = ids[row.replaces]
    rows = [
        row for row in rows if row.replaces is None or ids[row.replaces] == ids[row.annotation_id]
    ]
    known = {row.annotation_id for row in rows}
    rows = [row for row in rows if row.replaces is None or row.replaces in known]
    whole = labels_in_force(rows)
    for unit_id in UNITS:
        mine = [row for row in rows if ids[row.annotation_id] == unit_id]
        assert labels_in_force(mine) == {k: v for k, v in whole.items() if k[1] == unit_id}


@given(logs(), st.sampled_from(ANSWERS), st.sampled_from(UNITS))
def test_an_answer_that_is_taken_back_changes_nothing(
    rows: list[Annotation], answer: str, unit_id: str
) -> None:
    slip = said(answer, "Dan", annotation_id="slip", unit_id=unit_id)
    undo = Annotation(annotation_id="undo", annotator="Dan", action="retract", replaces="slip")
    assert labels_in_force([*rows, slip, undo]) == labels_in_force(rows)
    redo = replace(undo, annotation_id="redo", replaces="undo")
    assert labels_in_force([*rows, slip, undo, redo]) == labels_in_force([*rows, slip])


@given(logs(), st.sampled_from(ANSWERS))
def test_the_last_adjudication_is_in_force_whatever_was_said_before(
    rows: list[Annotation], answer: str
) -> None:
    last = said(answer, "Eva", annotation_id="last", action="adjudicate")
    label = labels_in_force([*rows, last])["clip", "c1", "content"]
    assert (label.answer, label.standing, label.last) == (answer, "adjudicated", last)


def test_a_second_answer_of_one_annotator_is_no_agreement() -> None:
    first, second = said(annotation_id="1", blind=True), said(annotation_id="2", blind=False)
    label = labels_in_force([first, second])["clip", "c1", "content"]
    assert (label.standing, label.n_annotators, label.last) == ("single", 1, second)


# The journal


def test_annotation_fields_are_the_columns_of_the_table() -> None:
    assert [field.name for field in fields(Annotation)] == list(TABLES["annotations"])


def test_log_and_table_hold_what_was_added(labels: Labels) -> None:
    box = said(
        unit="region", unit_id="r1", recording_id="a", channel="2", start_s=1 / 3, end_s=0.5,
        low_hz=4e3, high_hz=8e3, certainty="sure", p_offered=1e-9, blind=True, shown='{"plays": 2}',
        note='ç "\\\n鯨', session_id="s", sample_id="t",
    )  # fmt: skip
    ids = [labels.add(box), labels.add(said())]
    ids.append(labels.retract(ids[1], annotator="Ana"))
    log = labels.log()
    assert log["annotation_id"].tolist() == ids
    assert log["time_utc"].notna().all()
    row = asdict(read_journal(labels.store.folder).rows[0])
    assert {name: log[name][0] for name in TABLES["annotations"]} == row | dict.fromkeys(
        ("replaces", "basis", "source"), pd.NA
    )
    assert labels.sync() == 3
    pd.testing.assert_frame_equal(labels.store.read("annotations"), log)
    force = labels.in_force()
    assert force[["unit_id", "standing", "answer"]].values.tolist() == [["r1", "single", "whistle"]]
    assert labels.notices == ()


def test_an_empty_log_has_the_types_of_a_full_one(labels: Labels) -> None:
    empty = labels.log(), labels.in_force()
    assert labels.sync() == 0
    labels.add(said())
    for before, after in zip(empty, (labels.log(), labels.in_force()), strict=True):
        assert before.dtypes.to_dict() == after.dtypes.to_dict()


@given(st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_a_torn_last_line_costs_no_other_line(
    tmp_path_factory: pytest.TempPathFactory, n_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    rows = [said(annotation_id=str(k), note="x" * 40) for k in range(3)]
    append_lines(folder, rows)
    path = journal_path(folder)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - min(n_bytes, len(content) // 3)])
    kept = read_journal(folder)
    assert list(kept.rows) in (rows[:2], rows)  # all of them if the line end alone is gone
    assert len(kept.notices) == (3 - len(kept.rows)) * (path.read_bytes()[-1:] != b"\n")
    torn = path.read_bytes()
    append_lines(folder, [said(annotation_id="next")])
    assert path.read_bytes().startswith(torn)
    again = read_journal(folder)
    assert [row.annotation_id for row in again.rows] == [
        *(row.annotation_id for row in kept.rows), "next",
    ]  # fmt: skip
    assert len(again.notices) == len(kept.notices)


def test_labels_of_a_project_of_another_format_are_read(labels: Labels) -> None:
    labels.add(said())
    folder = labels.store.folder
    (folder / "project.json").write_text('{"format": 1}')
    with pytest.raises(StoreError):
        Store(folder)
    (row,) = read_journal(folder).rows
    assert (row.answer, row.annotator) == ("whistle", "Ana")
    path = journal_path(folder)
    later = json.loads(path.read_text()) | {"annotation_id": "later", "colour": "red"}
    path.write_text(json.dumps(later) + "\n")  # as a later version would write it
    assert [row.annotation_id for row in read_journal(folder).rows] == ["later"]


def _add_many(folder: Path, annotator: str) -> None:
    labels = Labels(Store(folder))
    for k in range(20):
        labels.add(said(annotator=annotator, unit_id=f"c{k}"))


def test_two_processes_lose_no_label_while_the_project_is_locked(labels: Labels) -> None:
    context = multiprocessing.get_context("spawn")
    with locked(labels.store):
        people = [
            context.Process(target=_add_many, args=(labels.store.folder, name))
            for name in PEOPLE[:2]
        ]
        for person in people:
            person.start()
        for person in people:
            person.join(60)
    assert [person.exitcode for person in people] == [0, 0]
    assert len(labels.log()) == 40
    assert set(labels.in_force()["standing"]) == {"agreed"}


def test_what_is_no_annotation_is_refused(labels: Labels) -> None:
    for wrong, complaint in (
        ({"unit": "clips"}, "Did you mean 'clip'"),
        ({"question": "population"}, "lacks basis"),
        ({"question": "population", "basis": "photo"}, "Did you mean 'photo-id'"),
        ({"answer": ""}, "lacks answer"),
        ({"start_s": 2.0, "end_s": 1.0}, "expected start_s below end_s"),
        ({"p_offered": float("nan")}, "expected a number"),
    ):
        with pytest.raises(PseudorcaError, match=complaint):
            said(**wrong)
    with pytest.raises(PseudorcaError, match="unknown annotation to replace 'x'"):
        labels.retract("x", annotator="Ana")
    labels.add(said(annotation_id="1"))
    with pytest.raises(PseudorcaError, match="in the log already"):
        labels.add(said(annotation_id="1"))
    assert len(labels.log()) == 1


# Import and export

text = st.text(max_size=8)


@given(
    logs(), st.lists(st.tuples(text, text, st.none() | st.booleans(), st.floats(0, 1)), max_size=3)
)
@settings(max_examples=30, deadline=None)
def test_an_exported_log_is_imported_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Annotation],
    notes: list[tuple[str, str, bool | None, float]],
) -> None:
    rows = rows + [
        said(
            annotation_id=f"n{k}", note=note, certainty=sure, blind=blind, p_offered=p, time_utc="t"
        )
        for k, (note, sure, blind, p) in enumerate(notes)
    ]
    rows = [replace(row, time_utc="t", source="{}") for row in rows]
    folder = tmp_path_factory.mktemp("labels")
    there = Labels(Store(folder / "one", create=True))
    here = Labels(Store(folder / "two", create=True))
    append_lines(there.store.folder, rows)
    path = there.export_csv(folder / "labels.csv")
    assert here.import_csv(path) == len(rows)
    assert read_journal(here.store.folder) == read_journal(there.store.folder)
    assert here.import_csv(path) == 0


def test_a_table_of_ones_own_is_imported_once_and_whole(labels: Labels, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "unit,unit_id,question,answer,basis,boat\n"
        "encounter,Lasker_AC_1,population,Insular,photo-id,Lasker\n"
        "encounter,Lasker_AC_2,population,Pelagic,genetics,Lasker\n"
    )
    with pytest.raises(PseudorcaError, match=r"mine\.csv, line 2: .* lacks annotator"):
        labels.import_csv(path)
    assert labels.import_csv(path, annotator="Ana") == 2
    assert labels.import_csv(path, annotator="Ana") == 0
    log = labels.log()
    assert log["answer"].tolist() == ["Insular", "Pelagic"]
    assert json.loads(log["source"][1]) == {"file": "mine.csv", "row": 3}
    path.write_text(path.read_text() + "encounter,Lasker_AC_3,population,Pelagic,guess,Lasker\n")
    with pytest.raises(PseudorcaError, match="line 4: unknown basis of an annotation 'guess'"):
        labels.import_csv(path, annotator="Ana")
    assert len(labels.log()) == 2


def test_a_row_with_more_cells_than_columns_is_refused(labels: Labels, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("annotator,unit,unit_id,question,answer\nAna,clip,c1,content,whistle, loud\n")
    with pytest.raises(PseudorcaError, match=r"mine\.csv, line 2: 6 cells"):
        labels.import_csv(path)


def test_answers_of_any_form_of_unicode_agree(labels: Labels) -> None:
    labels.add(said("La\u0304nai", "Ana", unit="encounter", unit_id="L\u0101nai/day1"))
    labels.add(said("L\u0101nai", "Ben", unit="encounter", unit_id="La\u0304nai/day1"))
    in_force = labels.in_force()
    assert in_force[["unit_id", "answer", "standing"]].values.tolist() == [
        ["L\u0101nai/day1", "L\u0101nai", "agreed"]
    ]
