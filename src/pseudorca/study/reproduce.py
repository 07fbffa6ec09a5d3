"""The study in one call: a folder of recordings in, a folder of tables, figures and a report out.

Whatever takes long is kept (embeddings in the project, trainings and results beside it), so that a
killed run goes on where it stopped, and a second one takes seconds.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pseudorca.backbones import backbone_info, load_backbone
from pseudorca.formats.whole import removed_on_failure
from pseudorca.progress import Progress
from pseudorca.store import Store
from pseudorca.study.as_published import run_published
from pseudorca.study.material import Material, Stages, chosen_unknown, read_material
from pseudorca.study.networks import Networks
from pseudorca.study.page import write_page
from pseudorca.study.settings import Folders, StudyOptions
from pseudorca.study.straight import run_straight
from pseudorca.study.tables import study_tables, write_study_tables


@contextmanager
def silent(text: str, /) -> Iterator[Progress]:
    """Announce nothing."""
    yield lambda done, total: None


def reproduce(
    data: Path,
    out: Path,
    options: StudyOptions,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    n_threads: int | None = None,
    stages: Stages = silent,
) -> dict[str, Any]:
    """Run the study on a folder of recordings, as it was published and told straight.

    Parameters
    ----------
    data : path of a folder with a class folder each of two or more populations, and ``Unknown``
    out : path of the folder that gets the report, tables, figures and the project
    options : StudyOptions
    device, batch_size, n_threads : see :func:`pseudorca.embedding.stream.embed_clips`
    stages : announces each stage and takes its progress

    Returns
    -------
    dict of JSON values: where things are, both columns' main numbers, and what they are compared by

    Raises
    ------
    PseudorcaError
        If there are fewer than two classes, or a network or its weights cannot be had.
    """
    timed = _Timed(stages)
    folders = Folders(out)
    _check_networks(options)
    with removed_on_failure(out):
        store = Store(folders.project, create=True)
        material = read_material(store, data, options, timed)
    networks = Networks(
        store, material, options, folders.kept, timed,
        device=device, batch_size=batch_size, n_threads=n_threads,
    )  # fmt: skip
    material = _usable(material, networks, options)
    unknown = chosen_unknown(material, options.n_unknown)
    straight = run_straight(material, networks, options, unknown, folders.kept, timed)
    published = None
    if len(material.classes) == 2:
        published = run_published(material, networks, options, unknown, folders.kept, timed)
    with timed("Drawing the report"):
        tables = study_tables(material, options, straight, published)
        write_study_tables(tables, folders.tables)
        return write_page(
            folders, material, options, networks, straight, published, tables, timed.took
        )


def _check_networks(options: StudyOptions) -> None:
    """BackboneError if a network or its weights cannot be had; before any sound is read."""
    for name in options.backbones:
        backbone_info(name)
    for name in options.backbones:
        load_backbone(name, weights=options.weights.get(name, "official"))


class _Timed:
    """Stages that remember how long each took."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self.took: dict[str, float] = {}

    def __call__(self, text: str, /) -> AbstractContextManager[Progress]:
        return self._timed(text)

    @contextmanager
    def _timed(self, text: str) -> Iterator[Progress]:
        start = time.perf_counter()
        with self._stages(text) as update:
            yield update
        self.took[text] = self.took.get(text, 0.0) + time.perf_counter() - start


def _usable(material: Material, networks: Networks, options: StudyOptions) -> Material:
    """Leave out clips that give no picture, for both columns and all networks alike."""
    network = networks.network(options.tuned, "tight", adapted=False)
    networks.embed(network, material.clips)
    done = networks.store.embedded(network.embedder_id)
    found = material.without(set(material.clips["clip_id"]) - done)
    networks.material = found
    return found
