"""Learning from altered copies of clips: any head, trained on the clips and on their views.

In: a training set with ``views``. Out: a trained head as any other. Which copies may be learned from
depends on what is held out, so a training side is put together anew each time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pseudorca.errors import HeadError
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import Head, TrainedHead, fit_head
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.mean import MeanHead
from pseudorca.learning.heads.svm import SvmHead
from pseudorca.learning.preparation import Preparation
from pseudorca.learning.tuning import TunedHead, settled

_CHOSEN = ("c", "inner_log_loss", "tuned", "trials")


@dataclass(frozen=True)
class ViewsHead:
    """A head that learns from clips and from their altered copies.

    Settings are chosen on the clips themselves, in inner folds that no copy enters; with the copies
    each clip then weighs as much against a penalty as before.
    """

    name: ClassVar[str] = "views"

    head: Head

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside to choose an epoch; nothing of them is learned from."""
        return bool(getattr(self.head, "chooses_epoch", False))

    def settings(self) -> dict[str, Any]:
        return self.head.settings() | {"views": True}

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on what :meth:`TrainingSet.with_views` gives; a validation side stays as it is.

        ``details["n_views"]`` counts the copies that were learned from.
        """
        clips, every = replace(data, views=None, heard_again=None), data.with_views()
        if isinstance(self.head, TunedHead) or (
            isinstance(self.head, LogisticHead) and self.head.c is None
        ):
            chosen = fit_head(self.head, clips).details
            again = ViewsHead(settled(self.head, chosen))
            if validation is not None:
                trained = again.fit(data, validation=validation)
            else:
                trained = fit_head(again, data)
            told = {key: chosen[key] for key in _CHOSEN if key in chosen}
            return replace(trained, details=trained.details | told)
        head = self.head
        if isinstance(head, LogisticHead | SvmHead) and head.c is not None:
            head = replace(head, c=head.c * len(clips.labels) / len(every.labels))
        trained = head.fit(every, validation=validation)
        n_views = len(every.labels) - len(clips.labels)
        about: dict[str, Any] = {"n_views": n_views}
        if isinstance(self.head, LogisticHead) and self.head.c is not None:
            about["c"] = self.head.c
        return replace(trained, details=trained.details | about)


@settled.register
def _views(head: ViewsHead, details: Mapping[str, Any]) -> Head:
    return ViewsHead(settled(head.head, details))


def learning_from(head: Head, preparation: Preparation) -> Head:
    """The head that learns from embeddings prepared so; several heads learn each from its own copies.

    Raises
    ------
    HeadError
        If a head would be left alone with the background.
    """
    if isinstance(head, MeanHead):
        if preparation.reference == "beside":
            raise HeadError(
                "with --join scores a clip's background beside it would have a head, and a say, of its "
                "own. Use --prepare reference=minus, or --join embeddings."
            )
        return MeanHead(tuple(learning_from(one, preparation) for one in head.heads))
    return ViewsHead(head) if preparation.views else head
