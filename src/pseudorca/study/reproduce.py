"""The study in one call: a folder of recordings in, a folder of tables, figures and a report out.

Results of slow stages are kept: embeddings in the project, trainings and results beside the project.
A killed run continues where it stopped, and a second run takes seconds.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.access import created
from pseudorca.backbones import backbone_info, load_backbone
from pseudorca.formats.whole import write_table
from pseudorca.progress import Progress, shown_progress
from pseudorca.results import Result, attention
from pseudorca.study.as_published import run_published
from pseudorca.study.material import Stages, chosen_unknown, read_material
from pseudorca.study.networks import Networks
from pseudorca.study.page import write_page
from pseudorca.study.settings import StudyOptions
from pseudorca.study.straight import run_straight
from pseudorca.study.tables import Study
from pseudorca.study.words import side_by_side, what_changed

_COLUMNS = ["", "as published", "told straight"]


@dataclass(frozen=True, eq=False, repr=False)
class ReproduceResult(Result):
    """The repeated study: the paths of its files, and both columns side by side.

    Examples
    --------
    >>> out = Path("study")
    >>> table = pd.DataFrame([("accuracy", "0.931", "0.840")], columns=_COLUMNS)
    >>> result = ReproduceResult(
    ...     report=out / "report.html", tables=out / "tables", figures=out / "figures",
    ...     project=out / "project", classes=["Insular", "Pelagic"], n_clips=240, n_figures=15,
    ...     as_published=["first-clip"], side_by_side=table, sentences=[], notices=[], n_passes={},
    ...     took_s={},
    ... )
    >>> result.as_json()["side_by_side"]
    [['accuracy', '0.931', '0.840']]
    """

    report: Path
    tables: Path
    figures: Path
    project: Path
    classes: list[str]
    n_clips: int
    n_figures: int
    as_published: list[str] | None
    """Switches of the as-published column; None without this column."""
    side_by_side: pd.DataFrame
    """The final model in both columns."""
    sentences: list[str]
    """Sentences about the differences between the columns."""
    notices: list[str]
    n_passes: dict[str, int]
    """Pictures that went through each network in this run."""
    took_s: dict[str, float]
    """Seconds of each stage."""

    def as_json(self) -> dict[str, Any]:
        """All fields as JSON values, the paths as text."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        paths = {name: str(path) for name, path in values.items() if isinstance(path, Path)}
        return values | paths | {"side_by_side": self.side_by_side.to_numpy().tolist()}

    def summary(self) -> Sequence[str]:
        """The first sentence about the final model, and the place of the report."""
        return [
            *self.sentences[:1],
            f"Open {self.report} in a browser; tables and figures are beside it.",
            attention(0, self.notices),
        ]

    def main_table(self) -> pd.DataFrame:
        """Both columns side by side."""
        return self.side_by_side


silent: Stages = partial(shown_progress, False)
"""Stages without any report of progress."""


def reproduce(
    data: Path,
    out: Path,
    options: StudyOptions | None = None,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    n_threads: int | None = None,
    stages: Stages = silent,
) -> ReproduceResult:
    """Run the study on a folder of recordings, as published and told straight.

    Parameters
    ----------
    data : path of a folder with two or more class folders, and optionally ``Unknown``
    out : path of the folder for the report, tables, figures and the project
    options : StudyOptions or None
    device, batch_size, n_threads : see :func:`pseudorca.embedding.stream.embed_clips`
    stages : reports the progress of each stage

    Returns
    -------
    ReproduceResult

    Raises
    ------
    PseudorcaError
        If there are fewer than two classes, or a network or its weights are not available.

    Examples
    --------
    >>> reproduce(Path("recordings"), Path("study"), StudyOptions(backbones=("resnet81",)))
    Traceback (most recent call last):
    pseudorca.errors.BackboneError: unknown backbone 'resnet81'. Did you mean 'resnet18'? ...
    """
    options = options or StudyOptions()
    for name in options.backbones:
        backbone_info(name)
    for name in options.backbones:  # the weights are available, too, before any sound is read
        load_backbone(name, weights=options.weights.get(name, "official"))
    took: dict[str, float] = {}

    @contextmanager
    def timed(text: str, /) -> Iterator[Progress]:
        start = time.perf_counter()
        with stages(text) as update:
            yield update
        took[text] = took.get(text, 0.0) + time.perf_counter() - start

    with created(out / "project") as store:
        material = read_material(store, data, options, timed)
        networks = Networks(
            store, material, options, out / "kept", timed,
            device=device, batch_size=batch_size, n_threads=n_threads,
        )  # fmt: skip
        # Both columns and all networks leave out the clips that have no picture.
        network = networks.network(options.tuned, "tight", adapted=False)
        networks.material = replace(material, clips=networks.embed(network, material.clips))
        unknown = chosen_unknown(material, options.n_unknown)
        straight = run_straight(networks, unknown)
        published = run_published(networks, unknown) if len(material.classes) == 2 else None
        with timed("Drawing the report"):
            study = Study(networks, straight, published, out, took)
            for name, table in study.tables.items():
                write_table(table, out / "tables" / f"{name}.csv")
            n_figures, notices = write_page(study)
            took_s = {text: round(seconds, 2) for text, seconds in took.items()}
    return ReproduceResult(
        report=out / "report.html",
        tables=out / "tables",
        figures=out / "figures",
        project=out / "project",
        classes=material.classes,
        n_clips=len(study.material.clips),
        n_figures=n_figures,
        as_published=sorted(published.switches) if published is not None else None,
        side_by_side=pd.DataFrame(side_by_side(study), columns=_COLUMNS),
        sentences=what_changed(study),
        notices=notices,
        n_passes=networks.n_passes,
        took_s=took_s,
    )
