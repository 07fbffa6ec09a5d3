"""Where and how embeddings are computed."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pseudorca.embedding.options import Precision

if TYPE_CHECKING:
    from pseudorca.embedding.cluster import Cluster


@dataclass(frozen=True)
class Computing:
    """Where and how embeddings are computed; no option changes the embeddings.

    Examples
    --------
    >>> with Computing(device="cpu").workers() as workers:
    ...     workers is None
    True
    """

    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int | None = None
    n_threads: int | None = None
    """Threads that read, draw and run the network; None: one per core."""
    n_workers: int | None = None
    """Processes on this computer; None: this process alone."""
    cluster: str | None = None
    """Address of a Dask scheduler whose workers compute."""

    def workers(self) -> AbstractContextManager["Cluster | None"]:
        """Other processes that compute, as a context; None: this process computes."""
        if self.n_workers or self.cluster:
            from pseudorca.embedding.cluster import Cluster

            return Cluster(
                self.cluster, self.n_workers, device=self.device, n_threads=self.n_threads
            )
        return nullcontext()
