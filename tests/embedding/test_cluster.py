"""A scheduler that others share has nothing of ours left, however a run ended."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from pseudorca.backbones import load_backbone
from pseudorca.embedding import cluster
from pseudorca.embedding.cluster import Cluster
from pseudorca.embedding.drawing import Unit, units_of
from pseudorca.embedding.embedder import Embedder
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.recordings.clips import ClipOptions, cut
from pseudorca.recordings.manifest import scan

RATE = 16_000


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """A scheduler with a worker in this process, such as others might have started."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp"
    ) as local:
        yield local.scheduler


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(CommonFrontEnd(), load_backbone("pseudorca_small"), device="cpu")


@pytest.fixture
def units(tmp_path, monkeypatch) -> list[Unit]:
    monkeypatch.setattr("pseudorca.embedding.drawing.UNIT_CLIPS", 1)
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "x.wav", 0.1 * rng.standard_normal(8 * RATE), RATE)
    recordings = scan(tmp_path).recordings
    clips, _ = cut(recordings, ClipOptions(window_s=1.0))
    return list(units_of(clips, recordings, set(), set()))


def ours(scheduler) -> list[str]:
    return [name for name in scheduler.worker_plugins if name.startswith("pseudorca")]


def test_cluster_leaves_no_plugin_after_a_run(scheduler, embedder, units) -> None:
    with Cluster(scheduler.address, device="cpu", n_threads=1) as workers:
        for _ in range(2):
            done = list(workers.outcomes(units, embedder, gate=None, batch_size=None))
            assert sum(outcome.n_clips for outcome in done) == len(units) == 8
        assert len(ours(scheduler)) == 1  # the network, kept between its runs
    assert not ours(scheduler)


def test_cluster_leaves_no_plugin_where_a_run_is_broken_off(scheduler, embedder, units) -> None:
    with Cluster(scheduler.address, device="cpu", n_threads=1) as workers:
        outcomes = workers.outcomes(units, embedder, gate=None, batch_size=None)
        next(outcomes)
        outcomes.close()
        assert len(ours(scheduler)) == 1
    assert not ours(scheduler)


def test_cluster_leaves_no_plugin_after_an_error(
    scheduler, embedder, units, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(cluster, "_embed", fails)
    with (
        pytest.raises(ZeroDivisionError),
        Cluster(scheduler.address, device="cpu", n_threads=1) as workers,
    ):
        list(workers.outcomes(units, embedder, gate=None, batch_size=None))
    assert not ours(scheduler)


def test_cluster_of_one_process_does_not_take_the_network_of_another(
    scheduler, embedder, units
) -> None:
    with Cluster(scheduler.address, device="cpu", n_threads=1) as workers:
        begun = workers.outcomes(units, embedder, gate=None, batch_size=None)
        next(begun)
        with Cluster(scheduler.address, device="cpu", n_threads=1) as others:
            list(others.outcomes(units[:2], embedder, gate=None, batch_size=None))
        assert len(list(begun)) == len(units) - 1
    assert not ours(scheduler)
