"""The switches of the as-published column: practices of the study's scripts that changed its numbers.

Each switch can be turned off alone. The report describes and measures the effect of each switch.
"""

from typing import NamedTuple

from pseudorca.errors import PseudorcaError, unknown_name


class Switch(NamedTuple):
    """A practice of the scripts, and its effect on the result, a sentence each."""

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
