"""Embedding in several processes or on several computers, through Dask distributed.

In: units of clips. Out: the outcomes of the units, in the order of completion. A unit needs only its
own rows and the files that the rows name, so a lost worker costs only the time of its unit. Every
worker builds the network once. Every worker must be able to read the files (a shared folder, or a
remote address). One process commits the outcomes.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from itertools import islice
from typing import Any, Self
from uuid import uuid4

import xxhash

from pseudorca.backbones import backbone_from_description
from pseudorca.embedding.drawing import Unit
from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.gate import Gate
from pseudorca.embedding.options import Computing
from pseudorca.embedding.stream import Outcome, embed_units
from pseudorca.errors import PseudorcaError
from pseudorca.frontends.base import FrontEnd

_WAIT_S = 60.0
_LOOK_S = 2.0  # seconds between checks for workers
_KEPT = "The embeddings so far are kept; run the same command again."
_UNITS_AHEAD = 3  # per worker
_TRIES = 3  # of a unit that loses its worker


def workers_of(computing: Computing) -> AbstractContextManager["Cluster | None"]:
    """The other processes that compute, as a context; None: this process computes.

    Parameters
    ----------
    computing : Computing

    Returns
    -------
    context manager of a Cluster or None

    Examples
    --------
    >>> with workers_of(Computing(device="cpu")) as workers:
    ...     workers is None
    True
    """
    if not (computing.n_workers or computing.cluster):
        return nullcontext()
    return Cluster(
        computing.cluster, computing.n_workers, device=computing.device,
        n_threads=computing.n_threads,
    )  # fmt: skip


class Cluster:
    """Processes that embed units, as a context.

    Parameters
    ----------
    address : str or None
        Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``; None: workers on this computer
    n_workers : int or None
        Processes on this computer. They share the cores, or have a GPU each if there are several
    device : str
        ``auto``: a GPU if the worker has one
    n_threads : int or None
        Threads of each worker that read and draw; None: its share of the cores

    Raises
    ------
    PseudorcaError
        If Dask distributed is not installed, or the scheduler or its workers cannot be reached.

    Examples
    --------
    >>> with Cluster(n_workers=2) as workers:  # doctest: +SKIP
    ...     embed_clips(clips, recordings, embedder, store, workers=workers)
    """

    def __init__(
        self,
        address: str | None = None,
        n_workers: int | None = None,
        *,
        device: str = "auto",
        n_threads: int | None = None,
    ) -> None:
        if address and n_workers:
            raise PseudorcaError(
                "workers on this machine and a cluster: choose one (--workers N or --cluster ADDRESS)."
            )
        self._address, self._n_workers = address, n_workers
        self._device, self._n_threads = device, n_threads
        # A name of this process alone: another process on the same scheduler keeps its network.
        self._own = f"pseudorca-{uuid4()}"
        self._networks: set[str] = set()
        self._stack = ExitStack()
        self._client: Any = None

    def __enter__(self) -> Self:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise PseudorcaError(
                "more than one process needs Dask: pip install 'pseudorca[cluster]'"
            ) from error
        # The errors below replace these logs.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        with ExitStack() as stack:
            if self._address:
                try:
                    client = stack.enter_context(Client(self._address, timeout=_WAIT_S))
                    client.wait_for_workers(1, timeout=_WAIT_S)
                except (OSError, ValueError, TimeoutError) as error:
                    raise PseudorcaError(
                        f"no cluster with workers at {self._address} ({error}). Start one with: "
                        "dask scheduler, and on every machine: dask worker ADDRESS --nthreads 1"
                    ) from error
            else:
                local = stack.enter_context(
                    LocalCluster(
                        n_workers=self._n_workers,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",  # None would be port 8787, for all
                        scheduler_kwargs={"dashboard": False},
                        silence_logs=logging.CRITICAL,
                    )
                )
                client = stack.enter_context(Client(local))
            self._client = client
            stack.callback(lambda: self._forget(self._networks))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def outcomes(
        self,
        units: Iterable[Unit],
        embedder: Embedder,
        *,
        gate: Gate | None,
        batch_size: int | None,
    ) -> Iterator[Outcome]:
        """Embed units -> their outcomes, as they are done."""
        from distributed import KilledWorker

        network = self._network(embedder)
        # Some inputs of a front end, such as backgrounds of other encounters, are in no id.
        hearing = f"pseudorca-{uuid4()}"
        waiting = iter(units)
        pending: dict[Any, tuple[Unit, int]] = {}  # units that are not done, and their failed tries

        def submit(unit: Unit, n_tries: int = 0) -> None:
            future = self._client.submit(_embed, hearing, unit, pure=False)
            pending[future] = (unit, n_tries)

        try:
            plugin = _hearing(network, embedder.front_end, gate, batch_size)
            self._client.register_plugin(plugin, name=hearing)
            for unit in islice(waiting, _UNITS_AHEAD * max(1, len(self._client.nthreads()))):
                submit(unit)
            while pending:
                for future in self._done(pending):
                    unit, n_tries = pending.pop(future)
                    try:
                        outcome = future.result()
                    except KilledWorker:
                        if n_tries + 1 < _TRIES:
                            submit(unit, n_tries + 1)
                            continue
                        outcome = _lost(unit)
                    for following in islice(waiting, 1):
                        submit(following)
                    yield outcome
        finally:
            self._forget([hearing], list(pending))

    def _network(self, embedder: Embedder) -> str:
        """The name of an embedder's network on the workers; the network is sent once."""
        description = json.dumps(
            [embedder.backbone.description(), embedder.precision], sort_keys=True
        )
        network = f"{self._own}-{xxhash.xxh3_128_hexdigest(description.encode())}"
        if network not in self._networks:
            self._networks.add(network)
            self._client.register_plugin(self._setup(embedder), name=network)
        return network

    def _forget(self, plugins: Iterable[str], pending: Sequence[Any] = ()) -> None:
        """Take plugins and unfinished work off the scheduler, which others may share."""
        if self._client.status != "running":  # the scheduler is gone, and its plugins, too
            return
        with suppress(OSError, TimeoutError):
            self._client.cancel(list(pending))
        for name in plugins:
            # A lost worker has no plugins; a restarted scheduler knows no plugin.
            with suppress(OSError, TimeoutError, ValueError):
                self._client.unregister_worker_plugin(name)

    def _done(self, pending: Iterable[Any]) -> list[Any]:
        """Wait for at least one finished unit. PseudorcaError if no worker is left."""
        from distributed import CancelledError, wait

        alone_since = time.monotonic()
        try:
            while True:
                try:
                    finished = wait(list(pending), timeout=_LOOK_S, return_when="FIRST_COMPLETED")
                    return list(finished.done)
                except TimeoutError:
                    if self._client.nthreads():
                        alone_since = time.monotonic()
                    elif time.monotonic() - alone_since > _WAIT_S:
                        raise PseudorcaError(f"the cluster has no workers left. {_KEPT}") from None
        except (CancelledError, OSError) as error:
            raise PseudorcaError(f"the cluster is gone. {_KEPT}") from error

    def _setup(self, embedder: Embedder) -> Any:
        """The plugin that builds the network on every worker, including workers that join later."""
        import torch
        from distributed import WorkerPlugin
        from safetensors.torch import load, save

        description = embedder.backbone.description()
        tensors = embedder.backbone.state_dict()
        state = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        device, precision = self._device, embedder.precision
        n_wanted, n_local = self._n_threads, self._n_workers or 0

        class Setup(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
            def setup(self, worker: Any) -> None:
                n_cores = os.cpu_count() or 1
                self.n_threads = n_wanted or (max(1, n_cores // n_local) if n_local else n_cores)
                torch.set_num_threads(self.n_threads)
                self.device, self.precision = device, precision
                n_gpus = torch.cuda.device_count()
                if device in ("auto", "cuda") and n_gpus > 1 and isinstance(worker.name, int):
                    self.device = f"cuda:{worker.name % n_gpus}"
                self.backbone = backbone_from_description(description, load(state))

        return Setup()


def _hearing(network: str, front_end: FrontEnd, gate: Gate | None, batch_size: int | None) -> Any:
    """The plugin that gives every worker the front end, gate and batch size of this run."""
    from distributed import WorkerPlugin

    class Hearing(WorkerPlugin):  # type: ignore[misc]
        def __init__(self) -> None:
            self.network, self.front_end = network, front_end
            self.gate, self.batch_size = gate, batch_size

    return Hearing()


def _lost(unit: Unit) -> Outcome:
    """Problems of a unit whose workers died several times."""
    detail = "every worker that read it died (out of memory?); the rest was done without it"
    problems = [
        (unit.recordings[clip.recording_id].path, "embed", "worker lost", detail, clip.clip_id)
        for clip in unit.clips
    ]
    return Outcome(problems=problems, n_clips=len(unit.clips))


def _embed(hearing: str, unit: Unit) -> Outcome:
    """Embed a unit on a worker."""
    from distributed import get_worker

    plugins = get_worker().plugins
    now = plugins[hearing]
    network = plugins[now.network]
    embedder = Embedder(now.front_end, network.backbone, network.device, network.precision)
    parts = embed_units(
        [unit], embedder, gate=now.gate, batch_size=now.batch_size, n_threads=network.n_threads
    )
    return Outcome.joined(list(parts))
