"""Learning from altered copies of clips: any head, trained on the clips and on their copies.

In: a training set with ``views``. Out: a trained head as any other. Which copies may be learned from
depends on what is held out, so a training side is put together anew each time.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import TrainedHead, WrappingHead, fit_head

_CHOSEN = ("c", "inner_log_loss", "tuned", "trials")


@dataclass(frozen=True)
class CopiesHead(WrappingHead):
    """A head that learns from clips and from their altered copies.

    Settings are chosen on the clips themselves, in inner folds that no copy enters; with the copies
    each clip then weighs as much against a penalty as before.
    """

    name: ClassVar[str] = "copies"

    @property
    def chooses_epoch(self) -> bool:
        """Whether groups are kept aside to choose an epoch; nothing of them is learned from."""
        return self.head.chooses_epoch

    def settings(self) -> dict[str, Any]:
        return self.head.settings() | {"views": True}

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> TrainedHead:
        """Train on what :meth:`TrainingSet.with_views` gives; a validation side stays as it is.

        ``details["n_views"]`` counts the copies that were learned from.
        """
        clips, every = replace(data, views=None, heard_again=None), data.with_views()
        if self.head.chooses_settings:
            chosen = fit_head(self.head, clips).details
            again = self.settled(chosen)
            if validation is not None:
                trained = again.fit(data, validation=validation)
            else:
                trained = fit_head(again, data)
            told = {key: chosen[key] for key in _CHOSEN if key in chosen}
            return replace(trained, details=trained.details | told)
        head = self.head.penalised_as(len(clips.labels), len(every.labels))
        trained = head.fit(every, validation=validation)
        details = trained.details | {"n_views": len(every.labels) - len(clips.labels)}
        if "c" in details:  # as it was asked for
            details["c"] = self.head.settings()["c"]
        return replace(trained, details=details)
