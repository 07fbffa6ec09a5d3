"""Virtual whales: groups, their animals, and the signals of each animal.

Group, animal and signal each add a deviation to a trait of the species, so the truth of a simulated
survey is known at every level. In: a random generator. Out: :class:`Signal` objects, which are numbers
only. :mod:`pseudorca.simulation.signals` turns signals into sound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pseudorca.errors import SimulationError, unknown_name
from pseudorca.simulation.species import KINDS, TRAIT_NAMES, Species

# Shares of the variance of a trait; the rest varies from signal to signal. Between groups: [N].
GROUP_SHARE: Final = 0.15
ANIMAL_SHARE: Final = 0.20


@dataclass(frozen=True)
class Group:
    """The animals of one encounter: standard normal deviations of the group and of each animal.

    Examples
    --------
    >>> Group(np.zeros(27), np.zeros((6, 27))).animals.shape
    (6, 27)
    """

    deviation: NDArray[np.float64]  # [shape=(n_traits,)]
    animals: NDArray[np.float64]  # [shape=(n_animals, n_traits)]


@dataclass(frozen=True)
class Signal:
    """One signal of one animal: the numbers that determine its sound, without the place.

    ``parameters`` holds the traits of the kind by their short names (``start_hz``). ``texture`` is the
    seed of small irregularities, so a signal has the same sound in every rendering.

    Examples
    --------
    >>> Signal("moan", 0, start_s=0.5, parameters={"duration_s": 2.0}, texture=7).end_s
    2.5
    """

    kind: str
    animal: int
    start_s: float
    parameters: Mapping[str, float]
    texture: int

    @property
    def end_s(self) -> float:
        """End of the signal in seconds."""
        return self.start_s + self.parameters["duration_s"]


def draw_group(rng: np.random.Generator, *, n_animals: int = 6) -> Group:
    """Draw a group of animals.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_animals : int

    Returns
    -------
    Group

    Examples
    --------
    >>> draw_group(np.random.default_rng(0), n_animals=3).animals.shape
    (3, 27)
    """
    n_traits = len(TRAIT_NAMES)
    return Group(rng.standard_normal(n_traits), rng.standard_normal((n_animals, n_traits)))


def blend_groups(shared: Group, own: Group, similarity: float) -> Group:
    """Blend two groups: ``own`` at a similarity of 0, ``shared`` at 1.

    ``sqrt(s) * shared + sqrt(1 - s) * own``. Two groups with the same ``shared`` have the correlation
    ``s``, and each stays standard normal. The similarity changes how alike the clips of an encounter
    are, and not the distribution of all clips.

    Parameters
    ----------
    shared, own : Group
    similarity : float, 0 to 1

    Returns
    -------
    Group

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared, own = draw_group(rng), draw_group(rng)
    >>> bool((blend_groups(shared, own, 1.0).animals == shared.animals).all())
    True
    """
    a, b = np.sqrt(similarity), np.sqrt(1.0 - similarity)
    return Group(a * shared.deviation + b * own.deviation, a * shared.animals + b * own.animals)


def draw_parameters(
    rng: np.random.Generator, species: Species, group: Group, *, kind: str, animal: int
) -> dict[str, float]:
    """Draw the traits of one signal: species + group + animal + variation between signals.

    Parameters
    ----------
    rng : numpy.random.Generator
    species : Species
    group : Group
    kind : str, kind of signal
    animal : int, number of the animal in the group

    Returns
    -------
    dict from short name of a trait to value

    Examples
    --------
    >>> from pseudorca.simulation.species import PSEUDORCA
    >>> rng = np.random.default_rng(0)
    >>> list(draw_parameters(rng, PSEUDORCA, draw_group(rng), kind="click_train", animal=0))
    ['peak_hz', 'q', 'interval_s', 'duration_s', 'level_db']
    """
    own = rng.standard_normal(len(TRAIT_NAMES))
    deviation = (
        np.sqrt(GROUP_SHARE) * group.deviation
        + np.sqrt(ANIMAL_SHARE) * group.animals[animal]
        + np.sqrt(1.0 - GROUP_SHARE - ANIMAL_SHARE) * own
    )
    parameters = {}
    for z, name in zip(deviation.tolist(), TRAIT_NAMES, strict=True):
        kind_of_trait, _, short = name.partition(".")
        if kind_of_trait == kind:
            parameters[short] = species.traits[name].at(z)
    if "inflections" in parameters:
        parameters["inflections"] = float(max(0, round(parameters["inflections"])))
    return parameters


def draw_signal(
    rng: np.random.Generator,
    species: Species,
    group: Group,
    *,
    kind: str,
    duration_s: float,
    max_s: float | None = None,
) -> Signal:
    """Draw one signal of one animal of a group, inside ``[0, duration_s)``.

    A signal that is longer than ``max_s`` or than the clip is shortened.

    Parameters
    ----------
    rng : numpy.random.Generator
    species : Species
    group : Group
    kind : str, kind of signal
    duration_s : float, length of the clip in seconds
    max_s : float or None, longest signal in seconds

    Returns
    -------
    Signal

    Examples
    --------
    >>> from pseudorca.simulation.species import PSEUDORCA
    >>> rng = np.random.default_rng(0)
    >>> whistle = draw_signal(rng, PSEUDORCA, draw_group(rng), kind="whistle", duration_s=3.0)
    >>> 0 <= whistle.start_s < whistle.end_s <= 3
    True
    """
    animal = int(rng.integers(len(group.animals)))
    parameters = draw_parameters(rng, species, group, kind=kind, animal=animal)
    longest = 0.98 * duration_s if max_s is None else min(max_s, 0.98 * duration_s)
    parameters["duration_s"] = min(parameters["duration_s"], longest)
    start_s = float(rng.random()) * (duration_s - parameters["duration_s"])
    return Signal(kind, animal, start_s, parameters, int(rng.integers(2**32)))


def draw_scene(
    rng: np.random.Generator,
    species: Species,
    group: Group,
    duration_s: float,
    *,
    activity: float = 1.0,
    require: Sequence[str] = (),
) -> list[Signal]:
    """Draw the signals of ``duration_s`` seconds: Poisson counts per kind, in order of time.

    Parameters
    ----------
    rng : numpy.random.Generator
    species : Species
    group : Group
    duration_s : float, s
    activity : float
        Factor on the species' rates.
    require : sequence of str
        Kinds with at least one signal.

    Returns
    -------
    list of Signal

    Raises
    ------
    SimulationError
        If a kind is unknown.

    Examples
    --------
    >>> from pseudorca.simulation.species import PSEUDORCA
    >>> rng = np.random.default_rng(0)
    >>> scene = draw_scene(rng, PSEUDORCA, draw_group(rng), 3.0, require=("whistle",))
    >>> "whistle" in {signal.kind for signal in scene}
    True
    """
    for kind in require:
        if kind not in KINDS:
            raise SimulationError(unknown_name("kind of signal", kind, KINDS))
    signals = []
    for kind in KINDS:
        n_signals = int(rng.poisson(species.rates[kind] * activity * duration_s))
        for _ in range(max(n_signals, int(kind in require))):
            signals.append(draw_signal(rng, species, group, kind=kind, duration_s=duration_s))
    return sorted(signals, key=lambda signal: signal.start_s)
