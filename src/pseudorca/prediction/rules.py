"""Rules per kind of unit, from the user's options and the classifier's held-out encounters."""

from dataclasses import asdict
from typing import Any

import numpy as np

from pseudorca.evaluation.risk_coverage import outcomes, threshold_for, thresholds
from pseudorca.learning.calibration import CalibratedUnits, make_prior
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.units import UNITS
from pseudorca.prediction.decisions import Rule
from pseudorca.prediction.options import DecisionOptions

_SAME_PRIOR = 0.01
"""Priors whose shares differ by less than this are equal."""


def decision_rules(
    classifier: Classifier, options: DecisionOptions
) -> tuple[dict[str, Rule], dict[str, Any], list[str]]:
    """Choose the thresholds for each kind of unit.

    Parameters
    ----------
    classifier : Classifier
    options : DecisionOptions

    Returns
    -------
    rules : dict from kind of unit to Rule
    chosen : dict from kind of unit to its threshold as JSON values; empty without ``max_error``
    notices : list of str, claims that the held-out encounters do not support

    Raises
    ------
    PseudorcaError
        If the prior cannot be read.
    """
    n_trained = classifier.training["n_encounters"]
    prior, trained = (
        make_prior(name, classifier.classes, n_trained) for name in (options.prior, "train")
    )
    differs = not np.allclose(prior.shares, trained.shares, atol=_SAME_PRIOR)
    rules, chosen, notices = {}, {}, []
    for unit in UNITS:
        lowest = options.min_probability
        if options.max_error is not None:
            threshold = None
            if classifier.held_out is None:
                notices.append("Without held-out encounters no error rate can be claimed.")
            else:
                of_unit = classifier.held_out[classifier.held_out["unit"] == unit]
                units = CalibratedUnits.from_table(of_unit, classifier.calibrator(unit))
                candidates = thresholds(outcomes(units, prior.shares))
                threshold = threshold_for(options.max_error, candidates)
                tightest = min(candidates, key=lambda candidate: candidate.max_error)
                chosen[unit] = {
                    "wanted": options.max_error,
                    "chosen": asdict(threshold) if threshold else None,
                    "smallest_that_can_be_claimed": tightest.max_error,
                    "holds_at": dict(zip(classifier.classes, trained.shares.tolist(), strict=True)),
                    "prior_differs": differs,
                }
                if threshold is None:
                    notices.append(
                        f"{unit}s: no threshold keeps the wrong names below {options.max_error:g} "
                        f"for sure with {tightest.n_encounters} encounters decided; the smallest rate "
                        f"that can be claimed is {tightest.max_error:.2f}. All stay undecided."
                    )
                if threshold is not None and differs:
                    mix = ", ".join(
                        f"{label} {100 * share:.0f} %"
                        for label, share in zip(classifier.classes, trained.shares, strict=True)
                    )
                    notices.append(
                        f"That at most {options.max_error:g} of the names are wrong was counted among "
                        f"the training encounters ({mix}). The prior {prior.name} is another: where "
                        "the classes are that frequent, nothing is claimed."
                    )
            lowest = max(lowest, threshold.probability) if threshold else np.inf
        least_moments = 1 if unit == "clip" else options.min_moments  # a clip is one moment
        rules[unit] = Rule(prior, lowest, least_moments, options.max_novelty)
    return rules, chosen, list(dict.fromkeys(notices))
