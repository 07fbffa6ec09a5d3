"""Virtual whales: groups, their animals, and the signals that each makes.

Group, animal and single signal each add their own deviation to a trait of the species, so that the
truth of a simulated survey is known at every level. In goes a random generator, out come
:class:`Signal` objects: numbers only, which :mod:`pseudorca.simulation.signals` turns into sound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pseudorca.errors import SimulationError, unknown_name
from pseudorca.simulation.species import KINDS, TRAIT_NAMES, Species

# Shares of a trait's variance; the rest varies from signal to signal. Between groups: [N] above.
GROUP_SHARE: Final = 0.15
ANIMAL_SHARE: Final = 0.20


@dataclass(frozen=True)
class Group:
    """The animals of one meeting: standard normal deviations, of the group and of each animal."""

    deviation: NDArray[np.float64]  # [shape=(n_traits,)]
    animals: NDArray[np.float64]  # [shape=(n_animals, n_traits)]


@dataclass(frozen=True)
class Signal:
    """One signal of one animal: what is needed to make its sound, and nothing of where it is heard.

    ``parameters`` holds the traits of its kind by their short name (``start_hz``); ``texture``
    seeds the small irregularities, so that a signal sounds the same each time it is rendered.
    """

    kind: str
    animal: int
    start_s: float
    parameters: Mapping[str, float]
    texture: int

    @property
    def end_s(self) -> float:
        return self.start_s + self.parameters["duration_s"]


def draw_group(rng: np.random.Generator, *, n_animals: int = 6) -> Group:
    """A group of a few animals, unlike other groups, each animal unlike the others."""
    n_traits = len(TRAIT_NAMES)
    return Group(rng.standard_normal(n_traits), rng.standard_normal((n_animals, n_traits)))


def blend_groups(shared: Group, own: Group, similarity: float) -> Group:
    """A group between ``own`` (``similarity`` 0) and ``shared`` (1).

    ``sqrt(s) * shared + sqrt(1 - s) * own``: two groups made from the same ``shared`` correlate by
    ``s``, and each stays standard normal, so that the dial changes how alike the clips of an
    encounter are, and not what clips as a whole are like.
    """
    a, b = np.sqrt(similarity), np.sqrt(1.0 - similarity)
    return Group(a * shared.deviation + b * own.deviation, a * shared.animals + b * own.animals)


def draw_parameters(
    rng: np.random.Generator, species: Species, group: Group, *, kind: str, animal: int
) -> dict[str, float]:
    """The traits of one signal: species + group + animal + what changes from signal to signal."""
    own = rng.standard_normal(len(TRAIT_NAMES))
    deviation = (
        np.sqrt(GROUP_SHARE) * group.deviation
        + np.sqrt(ANIMAL_SHARE) * group.animals[animal]
        + np.sqrt(1.0 - GROUP_SHARE - ANIMAL_SHARE) * own
    )
    parameters = {}
    for z, name in zip(deviation, TRAIT_NAMES, strict=True):
        if name.startswith(kind + "."):
            trait = species.traits[name]
            shift = trait.spread * float(z)
            value = trait.centre * float(np.exp(shift)) if trait.log else trait.centre + shift
            parameters[name.partition(".")[2]] = value
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
    start_s: float | None = None,
    max_s: float | None = None,
) -> Signal:
    """One signal of one animal of the group, wholly inside ``[0, duration_s)``.

    A signal too long for ``max_s`` (or for the clip) is shortened, as a clip would cut it.
    """
    animal = int(rng.integers(len(group.animals)))
    parameters = draw_parameters(rng, species, group, kind=kind, animal=animal)
    longest = 0.98 * duration_s if max_s is None else min(max_s, 0.98 * duration_s)
    parameters["duration_s"] = min(parameters["duration_s"], longest)
    where = float(rng.random())
    if start_s is None:
        start_s = where * (duration_s - parameters["duration_s"])
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
    """The signals heard in ``duration_s`` seconds: Poisson counts per kind, in order of time.

    Parameters
    ----------
    rng : numpy.random.Generator
    species : Species
    group : Group
    duration_s : float, s
    activity : float
        Factor on the species' rates.
    require : sequence of str
        Kinds of which there is at least one signal.
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
