"""Learning from altered copies of clips: any head, trained on the clips and on their views.

In: a training set with ``views``. Out: a trained head as any other. Which copies may be learned from
depends on what is held out, so a training side is put together anew each time.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pseudorca.learning.centring import Preparation
from pseudorca.learning.crossval import fit_head
from pseudorca.learning.logistic import LogisticHead
from pseudorca.learning.trained import Head, TrainedHead
from pseudorca.learning.training_set import TrainingSet


@dataclass(frozen=True)
class ViewsHead:
    """A head that learns from clips and from their altered copies.

    The logistic head chooses its penalty on the clips themselves, in inner folds that no copy enters;
    with the copies each clip then weighs as much against it as before. Other heads choose on both.
    """

    name: ClassVar[str] = "views"

    head: Head

    def settings(self) -> dict[str, Any]:
        return self.head.settings() | {"views": True}

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on what :meth:`TrainingSet.with_views` gives; a validation side stays as it is.

        ``details["n_views"]`` counts the copies that were learned from.
        """
        clips, every = replace(data, views=None, heard_again=None), data.with_views()
        head = self.head
        details: dict[str, Any] = {"n_views": len(every.labels) - len(clips.labels)}
        if validation is not None:
            trained = head.fit(every, validation=validation)
        elif isinstance(head, LogisticHead):
            chosen = {"c": head.c} if head.c else fit_head(head, clips).details
            share = len(clips.labels) / len(every.labels)
            trained = fit_head(replace(head, c=chosen["c"] * share), every)
            details = chosen | details
        else:
            trained = fit_head(head, every)
        return replace(trained, details=trained.details | details)


def learning_from(head: Head, preparation: Preparation) -> Head:
    """The head that learns from embeddings prepared so."""
    return ViewsHead(head) if preparation.views else head
