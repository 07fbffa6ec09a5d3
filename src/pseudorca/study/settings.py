"""The settings of ``reproduce``, and the switches of the as-published column.

A switch is a practice of the study's scripts that changed its numbers. Each switch can be turned off
alone. The report describes and measures the effect of each switch.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pseudorca.errors import PseudorcaError, unknown_name
from pseudorca.study.published import MOMENTUM_ACCURACIES, NETWORKS, RATE_ACCURACIES


class Switch(NamedTuple):
    """A practice of the scripts, and its effect on the result, a sentence each.

    Examples
    --------
    >>> SWITCHES[4].name, SWITCHES[4].done
    ('first-clip', 'Curves take the probability of the first clip of each batch for the whole batch.')
    """

    name: str
    done: str
    effect: str


TORN, MARGINS, TRAINING_MODE, CONTINUED, FIRST_CLIP, POSITIVE, OVERWRITTEN = (
    "torn-encounters",
    "wide-margins",
    "training-mode",
    "continued-weights",
    "first-clip",
    "positive-class",
    "overwritten-pictures",
)

SWITCHES = (
    Switch(
        TORN,
        "Single files are dealt to training, validation and test.",
        "Clips of one encounter and channels of one moment stand on both sides, so the score rises: "
        "it measures how well an encounter is recognised that was heard in training.",
    ),
    Switch(
        MARGINS,
        "Training pictures are the whole figure, 1200 x 800 with wide white margins (the listing); "
        "predictions are made of pictures of 950 x 636 cut to their axes (the text).",
        "40 % of what the network learns from is white, and what it predicts on looks unlike it, so "
        "probabilities of unknown recordings are of pictures of another kind.",
    ),
    Switch(
        TRAINING_MODE,
        'The "frozen" network stays in training mode: batch statistics in the forward pass, dropout, '
        "stochastic depth.",
        "Batch-norm statistics move to those of the recordings, and what the last layer learns from a "
        "clip depends on its batch.",
    ),
    Switch(
        CONTINUED,
        "Each learning rate and momentum goes on from the weights that the last one left.",
        "Later settings look better than they are, since they were trained longest; the table does "
        "not compare settings.",
    ),
    Switch(
        FIRST_CLIP,
        "Curves take the probability of the first clip of each batch for the whole batch.",
        "Curves have no more steps than there were batches, and say next to nothing about the model.",
    ),
    Switch(
        POSITIVE,
        "Precision and recall are those of the second class (the study: Pelagic), which text and "
        'table axes call by the other name ("positive" Insular).',
        "They say nothing of the first class; where the second is the frequent one, naming it always "
        "has recall 1 and a precision of its share.",
    ),
    Switch(
        OVERWRITTEN,
        "Pictures are named by file name alone in one folder per class.",
        "Files of one name in two encounters overwrite each other: clips are lost unseen (the study: "
        "about 460 of 3,281).",
    ),
)

NAMES = tuple(switch.name for switch in SWITCHES)
ALL = frozenset(NAMES)


def chosen_switches(text: str) -> frozenset[str]:
    """Read a list of switches.

    Parameters
    ----------
    text : str
        ``all``, ``none``, or names with commas between. A minus before a name removes the switch.

    Returns
    -------
    frozenset of str

    Raises
    ------
    PseudorcaError
        If a name is unknown.

    Examples
    --------
    >>> chosen_switches("first-clip"), chosen_switches("all") - chosen_switches("-first-clip")
    (frozenset({'first-clip'}), frozenset({'first-clip'}))
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    if names == ["all"]:
        return ALL
    if names == ["none"]:
        return frozenset()
    for name in names:
        if name.removeprefix("-") not in NAMES:
            raise PseudorcaError(
                unknown_name("switch of --as-published", name, [*NAMES, "all", "none"])
            )
    off = {name[1:] for name in names if name.startswith("-")}
    on = {name for name in names if not name.startswith("-")}
    return frozenset(on or ALL) - off


@dataclass(frozen=True)
class StudyOptions:
    """The settings of the repeated study. The defaults are the settings of the study.

    Raises
    ------
    PseudorcaError
        If a setting is not valid.

    Examples
    --------
    >>> StudyOptions(backbones=("resnet18",)).tuned
    'resnet18'
    """

    backbones: tuple[str, ...] = NETWORKS
    """The first network is tuned, like ResNet-18 in the study."""
    weights: dict[str, str] = field(default_factory=dict)
    """Local files of weights by network. Other networks have the official weights."""
    as_published: frozenset[str] = ALL
    exact_training_mode: bool = False
    """One pass through the network per clip and epoch, instead of statistics that are adapted once."""
    labels: tuple[str, ...] | None = None
    metadata: Path | None = None
    against_rest: str | None = None
    """Use two classes: this class, and all other classes as ``Rest``."""
    max_per_class: int | None = None
    """Most recordings of a class, spread over its encounters."""
    n_unknown: int | None = 10
    """Number of unknown recordings to predict; None: all."""
    n_epochs: int = 24
    rates: tuple[float, ...] = tuple(RATE_ACCURACIES)
    momenta: tuple[float, ...] = tuple(MOMENTUM_ACCURACIES)
    n_folds: int = 5
    n_repeats: int = 3

    def __post_init__(self) -> None:
        if not self.backbones or len(set(self.backbones)) < len(self.backbones):
            raise PseudorcaError(
                f"networks {', '.join(self.backbones) or '(none)'}: name at least one, each once."
            )
        if strange := sorted(set(self.weights) - set(self.backbones)):
            raise PseudorcaError(
                f"weights for {', '.join(strange)}, which are not among the networks "
                f"{', '.join(self.backbones)}. Name them with --backbones, too."
            )
        if self.max_per_class is not None and self.max_per_class < 1:
            raise PseudorcaError(f"{self.max_per_class} recordings per class: expected at least 1.")

    @property
    def tuned(self) -> str:
        """The network that is tuned."""
        return self.backbones[0]
