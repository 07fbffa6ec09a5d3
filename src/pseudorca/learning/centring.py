"""Ways to take the recorder out of embeddings: its background, or what its clips have in common.

In: embeddings, those of the clips' own backgrounds, and which clips share a recorder. Out: embeddings
from which these are taken. What clips of one encounter have in common is the animals', too: whether
more was taken from the recorder than from them has to be measured (``docs/removal.md``).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from pseudorca.errors import HeadError, unknown_name
from pseudorca.learning.training_set import Vectors

Reference = Literal["none", "minus", "beside"]

FEW_CLIPS = 8
"""With fewer clips a group's mean is mostly that of the clips themselves."""

_TINY = 1e-6


@dataclass(frozen=True)
class Preparation:
    """What is made of embeddings before a head learns from them."""

    views: bool = False
    """Learn from the altered copies that ``embed --augment`` made, too."""
    test_views: bool = False
    """Average what is said of a clip and of altered copies of it."""
    reference: Reference = "none"
    """``minus``: take off the embedding of the clip's own background; ``beside``: put it beside."""
    centre: str = "none"
    """Take off the mean over the clips of one ``platform``, ``encounter``, ``recording``, or value of
    any other column.

    Transductive: the clips that are asked about, though not their labels, have a part in it."""
    scale: bool = False
    """Bring each dimension to the same deviation in each of these groups, too."""

    def __post_init__(self) -> None:
        if self.reference not in get_args(Reference):
            raise HeadError(unknown_name("reference", self.reference, get_args(Reference)))
        if self.scale and self.centre == "none":
            raise HeadError(
                "scale is of groups that are centred: add centre=platform, or another column."
            )

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Read ``views``, ``test-views``, ``scale``, ``reference=...``, ``centre=...``.

        Raises
        ------
        HeadError
            If a word is unknown.
        """
        given: dict[str, Any] = {}
        known = ("views", "test-views", "scale", "reference=", "centre=")
        for word in words:
            name, equals, value = word.partition("=")
            if f"{name}{equals}" not in known:
                raise HeadError(unknown_name("preparation", word, known))
            given[name.replace("-", "_")] = value if equals else True
        return cls(**given)

    @property
    def name(self) -> str:
        """In words, empty for none."""
        said = {
            "views": self.views and "learned from views",
            "test_views": self.test_views and "averaged over views",
            "reference": {"minus": "minus its background", "beside": "beside its background"}.get(
                self.reference
            ),
            "centre": self.centre != "none"
            and f"{'whitened' if self.scale else 'centred'} by {self.centre}",
        }
        return ", ".join(text for text in said.values() if text)

    @property
    def words(self) -> list[str]:
        """What :meth:`of` reads."""
        said = {
            "views": self.views,
            "test-views": self.test_views,
            f"reference={self.reference}": self.reference != "none",
            f"centre={self.centre}": self.centre != "none",
            "scale": self.scale,
        }
        return [word for word, is_said in said.items() if is_said]

    def settings(self) -> dict[str, Any]:
        return asdict(self)


PLAIN = Preparation()


def referred(vectors: Vectors, backgrounds: Vectors, reference: Reference) -> Vectors:
    """Refer embeddings to those of the clips' own backgrounds.

    Parameters
    ----------
    vectors, backgrounds : ndarray [shape=(..., n_clips, n_dimensions)]
    reference : ``none``, ``minus`` or ``beside``

    Returns
    -------
    ndarray [shape=(..., n_clips, n_dimensions or twice as many)]
    """
    if reference == "minus":
        return vectors - backgrounds
    if reference == "beside":
        return np.concatenate([vectors, backgrounds], axis=-1)
    return vectors


def centred(vectors: Vectors, groups: NDArray[np.object_], *, scale: bool = False) -> Vectors:
    """Take the mean of each group off, and with ``scale`` bring its deviation to 1.

    Parameters
    ----------
    vectors : ndarray [shape=(n_clips, n_dimensions)]
    groups : ndarray [shape=(n_clips,)], such as the platform of each clip
    scale : bool
        A dimension in which a group does not vary stays 0.

    Returns
    -------
    ndarray [shape=(n_clips, n_dimensions)], float32
    """
    found = np.array(vectors, dtype=np.float64)
    for group in set(groups):
        mine = groups == group
        found[mine] -= found[mine].mean(axis=0)
        if scale:
            spread = found[mine].std(axis=0)
            found[mine] /= np.where(spread > _TINY, spread, 1.0)
    return found.astype(np.float32)


def small_groups(groups: NDArray[np.object_]) -> list[str]:
    """Groups of fewer than :data:`FEW_CLIPS` clips, by name."""
    names, counts = np.unique(groups.astype(str), return_counts=True)
    return [str(name) for name in names[counts < FEW_CLIPS]]
