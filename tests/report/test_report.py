"""The report is one file that needs nothing else, puts the honest number first, and never breaks."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pseudorca.errors import PseudorcaError
from pseudorca.pages.blocks import (
    Card,
    Cards,
    Fold,
    Gallery,
    Notices,
    Section,
    Table,
    folded,
    in_short,
)
from pseudorca.pages.writing import render
from pseudorca.report import collection
from pseudorca.report.answer import answer_section
from pseudorca.report.contents import evidence, read_project
from pseudorca.report.evaluated import evaluation_section, recording_scores
from pseudorca.report.predictions import _counted_once, _latest_classifier, _what_was_asked
from pseudorca.report.report import ReportResult, report_project
from pseudorca.report.sounds import examples_section
from pseudorca.report.summary import summary_section
from pseudorca.report.trust import _loss_in_words
from pseudorca.store import Store

SECTIONS = (
    "summary", "examples", "answer", "audit", "predictions", "trust", "evaluation", "data",
    "recording", "balance", "provenance",
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, text, exact values."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.values: list[float] = []
        self.text = ""
        self._skip = False
        self._starts: dict[str, int] = {}
        self.feed(html)

    def section(self, anchor: str) -> str:
        """The text of a section."""
        later = [start for start in self._starts.values() if start > self._starts[anchor]]
        return self.text[self._starts[anchor] : min(later, default=None)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if (anchor := dict(attrs).get("id")) in (*SECTIONS, "truth"):
            self._starts[str(anchor)] = len(self.text)
        self._skip = tag == "style"
        if tag == "data":
            self.values.append(float(dict(attrs)["value"] or "nan"))

    def handle_endtag(self, tag: str) -> None:
        self._skip = self._skip and tag != "style"

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.text += data

    def attribute(self, name: str) -> list[str]:
        return [value for _, attrs in self.elements if (value := attrs.get(name)) is not None]


@pytest.fixture(scope="module")
def page(full_report: SimpleNamespace) -> Page:
    return Page(full_report.html)


def results(store: Store) -> list[dict[str, Any]]:
    rows = [json.loads(text) for text in store.read("evaluations")["result"]]
    return [result for row in rows for result in row["results"]]


def report_of(store: Store) -> tuple[ReportResult, Page]:
    target = store.folder / "report.html"
    result = report_project(store, target)
    return result, Page(target.read_text(encoding="utf-8"))


def text_of(section: Section) -> str:
    return Page(render([section], title="", notices=[])).text


def test_report_has_every_section(page: Page, full_report: SimpleNamespace) -> None:
    anchors = [anchor for anchor in page.attribute("id") if anchor in SECTIONS]
    assert anchors == list(SECTIONS)
    assert full_report.result.n_sections == len(SECTIONS)
    n_svg = sum(tag == "svg" for tag, _ in page.elements)
    assert full_report.result.n_figures == n_svg >= 12
    assert full_report.result.problems.empty
    assert full_report.progress[-1] == (len(SECTIONS), len(SECTIONS))


def test_report_asks_nothing_of_the_network(page: Page, full_report: SimpleNamespace) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "img", "object", "embed", "form", "audio"}
    for name in ("src", "srcset", "href", "xlink:href", "action", "poster"):
        for value in page.attribute(name):
            assert value.startswith(("#", "data:image/png;base64,")), (name, value)
    html = full_report.html
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html
    policy = [
        attrs for tag, attrs in page.elements if "content-security-policy" in str(attrs).lower()
    ]
    assert "default-src 'none'" in str(policy[0]["content"])
    assert full_report.result.n_bytes < 4e6


def test_references_inside_the_page_lead_to_one_element(page: Page) -> None:
    ids = page.attribute("id")
    assert len(ids) == len(set(ids))
    links = [link for name in ("href", "xlink:href") for link in page.attribute(name)]
    links += [
        match for value in page.attribute("clip-path") for match in re.findall(r"#[^)]+", value)
    ]
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(ids)


def test_names_are_escaped(
    page: Page, full_report: SimpleNamespace, making: SimpleNamespace
) -> None:
    assert not any(tag in ("b", "i", "u") for tag, _ in page.elements)
    assert making.odd in page.text
    assert "broken <i>.wav" in page.text
    assert "Unknown/<u>cut.wav" in page.text
    assert "<b>&" not in full_report.html


def test_honest_number_stands_first(page: Page, full_project: Store) -> None:
    found = {(r["split"], r["unit"]): r for r in results(full_project)}
    honest, optimistic = found["encounter", "encounter"], found["random", "encounter"]
    assert honest["balanced_accuracy"] != optimistic["balanced_accuracy"]
    expected = [
        honest[key] for key in ("balanced_accuracy", "ci_low", "ci_high", "majority_baseline")
    ]
    assert page.values[:4] == expected
    answer = page.section("answer")
    for words in (
        "encounters never heard", "95 % interval", honest["interval_method"], "split encounter",
        "always naming one class: 0.50", "10 encounters of 2 classes", "Optimistic, not to be quoted",
        f"{optimistic['balanced_accuracy']:.2f} with the random split",
        f"{optimistic['balanced_accuracy'] - honest['balanced_accuracy']:+.2f}",
    ):  # fmt: skip
        assert words in answer, words


def test_numbers_are_those_of_the_table(page: Page, full_project: Store) -> None:
    shown = set(page.values)
    for result in results(full_project):
        for key in ("balanced_accuracy", "majority_baseline", "accuracy", "majority_accuracy"):
            assert result[key] in shown, (result["split"], result["unit"], key)
        if result["unit"] == "clip":
            continue
        for row in result["per_class"].values():
            for key in ("recall", "precision", "f1", "auc", "average_precision"):
                assert row[key] is None or row[key] in shown


def test_data_section_tells_counts_and_problems(page: Page, full_project: Store) -> None:
    clips = full_project.read("clips")
    data = page.section("data")
    for number in clips[clips["label"].notna()]["label"].value_counts():
        assert str(number) in data
    for words in ("Sette", "Lasker", "not audio", "8 kHz", "Mixed channel counts"):
        assert words in data, words


def test_predictions_say_what_they_presuppose(page: Page) -> None:
    text = page.section("predictions")
    for words in ("“mine”", "madeupclassifier", "not calibrated", "prior uniform", "0.70"):
        assert words in text, words


def test_provenance_names_weights_versions_and_runs(page: Page) -> None:
    text = page.section("provenance")
    for words in ("c0ffee", "madeup", "torch", "scan", "evaluate", "recordings", "seed"):
        assert words in text, words


def test_losses_are_drawn_for_heads_with_epochs(page: Page) -> None:
    assert page.text.count("Losses and accuracies over epochs") == 3  # two splits, one classifier


def test_project_without_evaluation_says_what_to_run(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=2, n_each=1)
    result, page = report_of(store)
    answer = page.section("summary") + page.section("answer")
    assert "Not evaluated" in answer
    assert "pseudorca evaluate" in answer
    assert "pseudorca predict" in page.text
    assert not [value for value in page.values if 0 < value < 1 and f"{value:.2f}" in answer]
    assert any("nothing was evaluated" in notice for notice in result.notices)


def test_optimistic_evaluation_alone_is_no_headline(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=3, n_each=2)
    making.evaluate(store, "random")
    answer = text_of(answer_section(read_project(store)))
    assert "optimistic splits only" in answer
    assert not re.search(r"0\.\d\d", answer)


def test_class_of_three_encounters_is_too_few(tmp_path: Path, making: SimpleNamespace) -> None:
    store = making.project(tmp_path, n_encounters=3, n_each=2)
    making.evaluate(store, "encounter")
    answer = text_of(answer_section(read_project(store)))
    assert answer.index("Too few encounters") < answer.index("balanced accuracy")
    assert "Pelagic has 3" in answer


def test_lower_honest_split_stands_beside_the_headline(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=4, n_each=2)
    making.evaluate(store, "encounter", "platform")
    rows = store.read("evaluations")
    about = {row.split_id: json.loads(row.result) for row in rows.itertuples()}
    for result in about.values():
        for unit in result["results"]:
            unit["balanced_accuracy"] = 0.7 if unit["split"] == "encounter" else 0.4
    rows["result"] = [json.dumps(about[split_id]) for split_id in rows["split_id"]]
    store.write("evaluations", rows)
    answer = text_of(answer_section(read_project(store)))
    assert answer.index("0.70") < answer.index("0.40")


def test_the_card_says_what_the_strictest_split_gave(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=4, n_each=2)
    making.evaluate(store, "encounter", "platform")
    project = read_project(store)
    strict = next(e for e in project.evaluations if e.split == "platform")
    assert evidence(project).stricter is strict
    (cards,) = summary_section(project).blocks
    lines = next(card.lines for card in cards.cards if "good" in card.title)
    value = strict.results["encounter"]["balanced_accuracy"]
    (line,) = [line for line in lines if "platform" in line]
    assert f"{value:.2f}" in line


def test_results_of_other_clips_are_not_compared_with_the_headline(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=4, n_each=2)
    making.evaluate(store, "encounter", "platform", "random")
    assert len({e.data_id for e in read_project(store).evaluations}) == 1
    rows = store.read("evaluations")
    about = [json.loads(text) for text in rows["result"]]
    for result in about:
        if result["split"]["name"] != "encounter":  # as if made before recordings were added
            result["data"] = "earlier"
        for unit in result["results"]:
            unit["balanced_accuracy"] = 0.7 if unit["split"] == "encounter" else 0.4
    rows["result"] = list(map(json.dumps, about))
    store.write("evaluations", rows)
    project = read_project(store)
    answer = text_of(answer_section(project))
    assert "0.70" in answer
    assert "0.40" not in answer
    tables = [b for b in evaluation_section(project).blocks if isinstance(b, Table)]
    assert ["not to be compared" in table.caption for table in tables] == [False, True]


def test_predictions_of_a_classifier_that_was_not_evaluated_are_said(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=4, n_each=2)
    making.evaluate(store, "encounter")
    making.predict(store)
    folder = store.folder / "classifiers"
    shutil.copytree(folder / "mine", folder / "spare")
    about = json.loads((folder / "mine" / "classifier.json").read_text())
    (folder / "spare" / "classifier.json").write_text(
        json.dumps(about | {"classifier_id": "another"})
    )
    words = "by the classifier mine, which was not evaluated"
    assert words not in text_of(answer_section(read_project(store)))
    about["training"]["head"]["learning_rate"] = 0.5
    (folder / "mine" / "classifier.json").write_text(json.dumps(about))
    assert words in text_of(answer_section(read_project(store)))


def test_headline_is_about_the_classifier_that_predicted(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=4, n_each=2)
    making.evaluate(store, "encounter")
    making.predict(store)
    row = store.read("evaluations").iloc[0]
    about = json.loads(row["result"])
    about["recipe"]["embedder_id"] = "later"
    for unit in about["results"]:
        unit["balanced_accuracy"] = 0.123
    later = pd.DataFrame([dict(row) | {"split_id": "x", "time_utc": "2999-01-01T00:00:00+00:00"}])
    later["result"] = json.dumps(about)
    store.replace("evaluations", later, split_id="x")
    folder = store.folder / "classifiers"
    shutil.copytree(folder / "mine", folder / "later")
    (folder / "later" / "embedder.json").write_text(json.dumps({"embedder_id": "later"}))
    spare = json.loads((folder / "later" / "classifier.json").read_text())
    (folder / "later" / "classifier.json").write_text(
        json.dumps(spare | {"classifier_id": "later"})
    )
    chosen = evidence(read_project(store)).honest
    assert chosen is not None
    assert chosen.about["recipe"]["embedder_id"] == "madeup"


def test_files_of_one_moment_are_said_to_count_once() -> None:
    paths = ["a_ch1.wav; a_ch2.wav", "b.wav"]
    said = _counted_once({"recording": pd.DataFrame({"path": paths})})
    assert "of several files: 1." in said
    assert _counted_once({"recording": pd.DataFrame({"path": paths[1:]})}) == ""
    assert _counted_once({"recording": None}) == ""


def test_changed_labels_change_what_an_evaluation_is_of(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    found = []
    for number, label in enumerate(("Pelagic", "Oceanic")):
        store = making.project(tmp_path / str(number), n_encounters=2, n_each=2)
        clips = store.read("clips")
        clips["label"] = clips["label"].replace("Pelagic", label)
        store.write("clips", clips)
        making.evaluate(store, "encounter")
        found.append(read_project(store).evaluations[0].data_id)
    assert found[0] != found[1]


def test_changed_labels_cost_the_curves_and_are_said(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=2, n_each=2)
    making.evaluate(store, "encounter")
    assert recording_scores(read_project(store), read_project(store).evaluations[0]) is not None
    clips = store.read("clips")
    clips["label"] = clips["label"].replace("Pelagic", "Oceanic")
    store.write("clips", clips)
    project = read_project(store)
    assert recording_scores(project, project.evaluations[0]) is None
    assert "after this evaluation" in text_of(answer_section(project))


def test_recordings_that_are_gone_are_problems_not_the_end(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=1, n_each=1)
    (tmp_path / "survey").rename(tmp_path / "elsewhere")
    result, page = report_of(store)
    assert set(result.problems["reason"]) == {"cannot be opened"}
    assert "Problems of this report" in page.text


@pytest.mark.parametrize("n_classes", [0, 1])
def test_too_little_to_learn_from_breaks_nothing(
    tmp_path: Path, making: SimpleNamespace, n_classes: int
) -> None:
    store = Store(tmp_path / "project", create=True)
    if n_classes:
        full = making.project(tmp_path / "other", n_encounters=1, n_each=1)
        recordings, clips = full.read("recordings"), full.read("clips")
        store.write("recordings", recordings[recordings["label"] == "Pelagic"])
        store.write("clips", clips[clips["label"] == "Pelagic"])
    result, page = report_of(store)
    assert result.n_sections == len(SECTIONS)
    assert "Not evaluated" in page.text
    assert f"{n_classes} class" in page.text


def test_more_classes_and_encounters_than_can_be_drawn(
    tmp_path: Path, making: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = making.project(tmp_path, n_encounters=1, n_each=1)
    one, clip = store.read("recordings").iloc[:1], store.read("clips").iloc[:1]
    recordings, clips = [], []
    for name in (f"species {k:03d}" for k in range(12)):
        named = {"label": name, "encounter": f"{name}/1", "recording_id": name, "moment_id": name}
        recordings.append(one.assign(**named, path=f"{name}.wav"))
        clips.append(clip.assign(**named, clip_id=name))
    store.write("recordings", pd.concat(recordings))
    store.write("clips", pd.concat(clips))
    monkeypatch.setattr(collection, "_MOST_BARS", 4)
    project = read_project(store)
    data = text_of(collection.data_section(project))
    assert "All 12 encounters" in data
    assert "4 of 12 classes" in data
    assert "species 011" in text_of(collection.balance_section(project))


def test_long_tables_are_folded_and_lose_no_row() -> None:
    rows = [(f"row {k}", k) for k in range(31)]
    table = Table(("name", "number"), rows, caption="All rows. What they are.")
    shown = folded(table)
    assert isinstance(shown, Fold)
    assert shown.title == "All rows (31 rows)"
    text = text_of(Section("x", "x", [shown]))
    assert all(f"row {k}" in text for k in range(31))
    assert folded(Table(("name", "number"), rows[:30])) is not shown


def test_folder_as_target_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "project", create=True)
    with pytest.raises(PseudorcaError, match="is a folder"):
        report_project(store, tmp_path)


def test_what_was_wished_of_the_names_is_said_of_each_kind_of_unit() -> None:
    chosen = {"wanted": 0.2, "chosen": {"probability": 0.9}, "smallest_that_can_be_claimed": 0.1}
    refused = {"wanted": 0.2, "chosen": None, "smallest_that_can_be_claimed": 0.53}
    settings: list[dict[str, Any]] = [
        {"classifier_id": "mine", "thresholds": {"encounter": chosen, "recording": refused}},
        {"classifier_id": "other", "thresholds": {}, "gate_db": None},
        {"classifier_id": "gated", "thresholds": {}, "gate_db": 12.0},
    ]
    runs = pd.DataFrame({"verb": "predict", "settings": [json.dumps(one) for one in settings]})
    project: Any = SimpleNamespace(runs=runs)

    def asked(*classifier_ids: str) -> list[str]:
        decisions = pd.DataFrame({"classifier_id": classifier_ids})
        classifier_id, used = _latest_classifier(project, decisions)
        assert classifier_id == classifier_ids[-1]
        return _what_was_asked(used)

    first, second = asked("mine")
    assert "encounters" in first
    assert "0.90" in first
    assert "recordings" in second
    assert "53 %" in second
    assert asked("mine", "other") == []
    assert asked("a third") == []
    assert "--gate 12" in asked("other", "gated")[0]


def test_first_screen_says_what_was_found_how_good_and_whether_it_is_animals(
    page: Page, full_project: Store
) -> None:
    summary = page.section("summary")
    honest = next(r for r in results(full_project) if (r["split"], r["unit"]) == ("encounter",) * 2)
    n_encounters = len(full_project.read("decisions", where="unit = 'encounter'"))
    for words in (
        f"{n_encounters} of {n_encounters} named", "Pelagic, 0.70",
        f"{n_encounters} encounter in the set unlabelled",
        f"{honest['balanced_accuracy']:.2f}", f"{honest['ci_low']:.2f} to {honest['ci_high']:.2f}",
        "Not to be quoted", "Not audited", "pseudorca audit",
    ):  # fmt: skip
        assert words in summary, words


def test_no_number_is_green_without_an_audit_that_says_animals(full_project: Store) -> None:
    def tones(verdict: str | None) -> list[str]:
        contents = read_project(full_project)
        honest = evidence(contents).honest
        if verdict is not None:
            audit = {"recipe": honest.recipe, "data": honest.data_id, "verdict": verdict}
            audit |= {"summary": "Heard.", "explained": {"beside evaluate": ""}}
            row = {"audit_id": "a", "time_utc": "2026-01-01", "result": json.dumps(audit)}
            full_project.write("audits", pd.DataFrame([row]))
        contents = read_project(full_project)
        number = answer_section(contents).blocks[0]
        assert number.verdict or verdict == "animals"
        (cards,) = summary_section(contents).blocks
        return [card.tone for card in cards.cards]

    try:
        assert tones(None) == ["plain", "unsure", "unsure"]
        assert tones("recorder") == ["plain", "bad", "bad"]
        assert tones("cannot tell") == ["plain", "unsure", "unsure"]
        assert tones("animals") == ["plain", "unsure", "good"]  # five encounters are too few
    finally:
        full_project.delete("audits", audit_id="a")


def test_a_class_of_one_encounter_is_named_where_nothing_was_evaluated(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=2, n_each=1)
    (cards,) = summary_section(read_project(store)).blocks
    assert cards.cards[1].warnings == []
    recordings = store.read("recordings")
    pelagic = recordings.loc[recordings["label"] == "Pelagic", "encounter"]
    store.write("recordings", recordings[recordings["encounter"] != pelagic.max()])
    (cards,) = summary_section(read_project(store)).blocks
    (warning,) = cards.cards[1].warnings
    assert "Pelagic" in warning
    assert making.odd not in warning


def test_cards_come_before_the_contents_of_the_page(full_report: SimpleNamespace) -> None:
    html = full_report.html
    assert html.index('class="cards"') < html.index("<nav>")
    assert 'id="unfold"' in html  # without a script: everything can be unfolded and printed


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium to measure the page with")
def test_report_is_short_before_anything_is_unfolded(
    full_report: SimpleNamespace, tmp_path: Path
) -> None:
    picture = tmp_path / "page.png"
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={picture}",
         "--window-size=1200,7000", f"file://{full_report.result.output}"],
        check=True, capture_output=True,
    )  # fmt: skip
    with Image.open(picture) as page:
        rows = np.asarray(page.convert("L"))
    drawn = np.flatnonzero((rows != rows[-1, -1]).any(axis=1))
    assert 1_000 < drawn.max() < 6_000


def test_warnings_stand_in_boxes_the_first_three_at_once() -> None:
    sentences = [f"Warning {k}." for k in range(5)]
    card = Card("How good is it?", "0.80", warnings=sentences[:2])
    html = render([Section("x", "x", [Notices(sentences), Cards([card])])], title="", notices=[])
    assert html.count('class="notices"') == 2
    box, folded_part = html.split("<details", 1)
    assert [text in box for text in sentences] == [True] * 3 + [False] * 2
    assert all(text in folded_part for text in sentences[3:])


def test_a_paragraph_is_one_line_and_more_on_a_click() -> None:
    block = in_short("An interval of 0.49 to 0.79. It is wide. It says little.")
    assert (block.text, block.more) == (
        "An interval of 0.49 to 0.79.", "It is wide. It says little.",
    )  # fmt: skip
    html = render([Section("x", "x", [block])], title="", notices=[])
    assert html.index(block.text) < html.index("</summary>") < html.index(block.more)


def test_examples_show_what_was_asked_about_with_what_was_said(page: Page) -> None:
    examples = page.section("examples")
    assert "Sette_AC_11: Pelagic, 0.70" in examples
    assert examples.index("Sette_AC_11: Pelagic") < examples.index("Pelagic, Lasker_AC_10")


def test_examples_of_recordings_from_elsewhere_are_cut_as_the_classifier_cuts(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=1, n_each=1)
    making.predict(store)
    known = store.read("clips")
    store.write("clips", known[known["label"].notna()])
    path = store.folder / "classifiers" / "mine" / "classifier.json"
    record = json.loads(path.read_text()) | {"clips": {"window_s": 0.8, "pad": "tile"}}
    path.write_text(json.dumps(record))
    (gallery, *_) = [
        b for b in examples_section(read_project(store)).blocks if isinstance(b, Gallery)
    ]
    assert len(gallery.charts) >= 1
    assert "repeated" in gallery.charts[0].svg or "Pelagic, 0.70" in gallery.charts[0].caption


def test_an_interval_that_says_nothing_is_said_in_words(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    words = [_loss_in_words(*numbers)[1] for numbers in (
        (0.01, 2.0, 0.5), (0.1, 0.3, 0.5), (0.3, 0.6, 0.5), (0.6, 0.9, 0.5), (None, None, 0.5),
    )]  # fmt: skip
    assert [text.startswith("says nothing") for text in words] == [True, False, False, False, True]
    assert len(set(words)) == 5
    store = making.project(tmp_path, n_encounters=4, n_each=1)
    making.evaluate(store, "encounter")
    rows = store.read("evaluations")
    about = json.loads(rows["result"][0])
    for result in about["results"]:
        result |= {"ci_low": 0.05, "ci_high": 0.95}
    store.write("evaluations", rows.assign(result=[json.dumps(about)]))
    project = read_project(store)
    assert "says next to nothing" in text_of(summary_section(project))
    assert "0.05 to 0.95 says next to nothing" in text_of(answer_section(project))


def test_a_simulated_survey_says_so_and_shows_the_truth(
    tmp_path: Path, making: SimpleNamespace
) -> None:
    store = making.project(tmp_path, n_encounters=1, n_each=1)
    making.predict(store)
    assert read_project(store).truth is None
    (tmp_path / "survey").rename(tmp_path / "recordings")
    recordings = store.read("recordings")
    store.write("recordings", recordings.assign(root=str(tmp_path / "recordings")))
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "survey.json").write_text('{"complete": true, "settings": {}}')
    encounters = recordings["encounter"].str.rsplit("/").str[-1]
    truth = pd.DataFrame({"encounter": encounters, "population": "Insular"})
    truth.to_csv(tmp_path / "truth" / "encounters.csv", index=False)
    result, page = report_of(store)
    assert result.n_sections == len(SECTIONS) + 1
    title = page.text[: page.text.index("In a minute")]
    assert "simulated, home ground" in title
    assert "one simulator" in title.replace("\n", " ")
    asked = page.section("truth")
    assert re.search(r"Pelagic\s*0\.70\s*Insular\s*no", asked)
    assert "0 of 1 right, 1 wrong" in page.section("summary")


def test_sections_that_go_into_detail_are_folded(full_report: SimpleNamespace) -> None:
    assert full_report.html.count('<details class="section">') == len(SECTIONS) - 2
