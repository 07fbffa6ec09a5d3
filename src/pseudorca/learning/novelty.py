"""How unlike all training clips a sound is.

A classifier must name one of its classes; a high probability only means that the other classes are
less likely. In: the embeddings of the training clips. Out: :class:`Novelty`, which gives a clip's mean
distance to the nearest training clips, and the usual distance of a new encounter of the same animals.
The usual distance is learned from each training encounter's distance to the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from pseudorca.learning.dataset import Floats, Ints, Names, TrainingSet, Vectors
from pseudorca.recordings.folds import Folds

N_NEIGHBOURS = 5
MAX_REFERENCE = 4000
"""Training clips kept for comparison, drawn evenly over encounters."""

_MAX_DIMENSIONS = 32
_QUANTILE = 0.95
_SEED = 0


@dataclass(frozen=True)
class Novelty:
    """Distances to training clips, along the axes of greatest variance.

    ``mean`` [shape=(n_dimensions,)]. ``axes`` [shape=(n_axes, n_dimensions)], divided by the scale of
    each dimension. ``reference`` [shape=(n_reference, n_axes)]. ``usual``: per kind of unit, the mean
    distance to clips of other encounters that 95 % of the training units do not exceed.

    Examples
    --------
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> encounters = np.array(["e1", "e1", "e2", "e2"], dtype=object)
    >>> novelty = fit_novelty(vectors, encounters, {"encounter": encounters})
    >>> near, far = novelty.distances(np.array([[0.5], [9.0]], dtype=np.float32))
    >>> bool(near < far)
    True
    """

    mean: Floats
    axes: Floats
    reference: Floats
    usual: dict[str, float]

    def arrays(self) -> dict[str, Floats]:
        """As named arrays, for :meth:`from_arrays`."""
        values = {"mean": self.mean, "axes": self.axes, "reference": self.reference}
        named = {name: np.ascontiguousarray(value) for name, value in values.items()}
        return named | {f"usual {unit}": np.array([far]) for unit, far in self.usual.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "Novelty":
        """Rebuild the novelty from the arrays of :meth:`arrays`."""
        usual = {
            name.removeprefix("usual "): float(value[0])
            for name, value in arrays.items()
            if name.startswith("usual ")
        }
        return cls(arrays["mean"], arrays["axes"], arrays["reference"], usual)

    def distances(self, vectors: Vectors) -> Floats:
        """Mean distances of embeddings [shape=(n, n_dimensions)] to the nearest training clips.

        Returns
        -------
        ndarray [shape=(n,)], to be averaged over a unit and compared with ``usual``
        """
        return _mean_distances((vectors - self.mean) @ self.axes.T, self.reference)


def fit_novelty(vectors: Vectors, encounters: Names, units: Mapping[str, Names]) -> Novelty:
    """Keep training clips for comparison, and learn the usual distance.

    Parameters
    ----------
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    encounters : ndarray [shape=(n_clips,)]
    units : dict from kind of unit to the unit of each clip [shape=(n_clips,)]

    Returns
    -------
    Novelty

    Examples
    --------
    >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], dtype=np.float32)
    >>> encounters = np.array(["e1", "e1", "e2", "e2"], dtype=object)
    >>> novelty = fit_novelty(vectors, encounters, {"encounter": encounters})
    >>> sorted(novelty.usual)
    ['encounter']
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = vectors.std(axis=0, dtype=np.float64)
    scale[scale < 1e-8] = 1.0
    standard = (vectors - mean) / scale
    n_axes = min(_MAX_DIMENSIONS, *standard.shape)
    axes = PCA(n_axes, random_state=_SEED).fit(standard).components_ / scale
    places = (vectors - mean) @ axes.T
    kept = _even_sample(encounters, MAX_REFERENCE)
    reference, owners = places[kept], encounters[kept]
    distances = np.full(len(places), np.nan)
    for encounter in np.unique(owners.astype(str)):
        of_encounter, others = encounters == encounter, owners != encounter
        if others.any():
            distances[of_encounter] = _mean_distances(places[of_encounter], reference[others])
    usual = {kind: _usual(distances, encounters, unit) for kind, unit in units.items()}
    return Novelty(mean, axes, reference, usual)


def held_out_novelty(
    data: TrainingSet, folds: Folds, units: Mapping[str, Names]
) -> dict[str, Floats]:
    """Measure how unlike the training side each tested clip is.

    Parameters
    ----------
    data : TrainingSet, rows as in ``folds``
    folds : Folds
    units : dict from kind of unit to the unit of each clip [shape=(n_clips,)]

    Returns
    -------
    dict from kind of unit to ndarray [shape=(n_repeats, n_clips)]
        Distances as multiples of the usual distance of such units of the training side, NaN where a
        clip is never tested; to be averaged over a unit

    Examples
    --------
    >>> from pseudorca.recordings.folds import Split, make_folds
    >>> names = np.array([f"e{k}" for k in range(6)], dtype=object)
    >>> clips = pd.DataFrame({"clip_id": names, "recording_id": names, "moment_id": names,
    ...                       "encounter": names, "label": list("AAABBB")})
    >>> recordings = clips[["recording_id", "moment_id", "encounter"]].assign(metadata="{}")
    >>> folds = make_folds(clips, recordings, Split("encounter", n_folds=2))
    >>> vectors = np.array([[0.0], [0.1], [0.2], [1.0], [1.1], [9.0]], dtype=np.float32)
    >>> data = TrainingSet(vectors, folds.labels, names, names)
    >>> far = held_out_novelty(data, folds, {"encounter": names})["encounter"]
    >>> far.shape, int(far[0].argmax())
    ((1, 6), 5)
    """
    found = {kind: np.full(folds.test_fold.shape, np.nan) for kind in units}
    for repeat, _, train, test in folds:
        inside = {kind: names[train] for kind, names in units.items()}
        side = fit_novelty(data.vectors[train], data.groups[train], inside)
        distances = side.distances(data.vectors[test])
        for kind, values in found.items():
            values[repeat, test] = distances / side.usual[kind]
    return found


def _mean_distances(places: Floats, reference: Floats) -> Floats:
    """Mean distance of each place to the nearest places of the reference."""
    k = min(N_NEIGHBOURS, len(reference))
    nearest, _ = NearestNeighbors(n_neighbors=k).fit(reference).kneighbors(places)
    return np.asarray(nearest.mean(axis=1))


def _usual(distances: Floats, encounters: Names, units: Names) -> float:
    """The quantile of the units' mean distances, every encounter weighing the same."""
    table = pd.DataFrame({"far": distances, "encounter": encounters, "unit": units})
    means = table.groupby(["encounter", "unit"])["far"].mean().dropna()
    if means.empty:  # a single encounter: nothing to compare with
        return np.inf
    weights = 1 / means.groupby(level="encounter").transform("size")
    means = means.sort_values()
    share = (weights[means.index].cumsum() / weights.sum()).to_numpy()
    return float(means.iloc[np.searchsorted(share, _QUANTILE - 1e-9)])


def _even_sample(encounters: Names, most: int) -> Ints:
    """Rows of at most ``most`` clips, as many from each encounter as it can give."""
    if len(encounters) <= most:
        return np.arange(len(encounters))
    order = np.random.default_rng(_SEED).permutation(len(encounters))
    shuffled = encounters[order]
    # An encounter's first clip comes before any encounter's second.
    turn = pd.Series(shuffled).groupby(shuffled).cumcount()
    return np.sort(order[np.argsort(turn, kind="stable")][:most])
