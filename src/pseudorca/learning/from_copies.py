"""Learning from altered copies of clips: any head, trained on the clips and on their copies.

In: a training set with ``views``. Out: a trained head. Which copies may be learned from depends on the
test side, so each training side is put together anew.
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
        """Train on :meth:`TrainingSet.with_views`; a validation side has no copies.

        ``details["n_views"]`` is the number of copies in the training.
        """
        clips, with_copies = replace(data, views=None, heard_again=None), data.with_views()
        if self.head.chooses_settings:
            chosen = fit_head(self.head, clips).details
            settled = self.settled(chosen)
            if validation is not None:
                trained = settled.fit(data, validation=validation)
            else:
                trained = fit_head(settled, data)
            choices = {key: chosen[key] for key in _CHOSEN if key in chosen}
            return replace(trained, details=trained.details | choices)
        head = self.head.penalised_as(len(clips.labels), len(with_copies.labels))
        trained = head.fit(with_copies, validation=validation)
        details = trained.details | {"n_views": len(with_copies.labels) - len(clips.labels)}
        if "c" in details:  # as the recipe names it
            details["c"] = self.head.settings()["c"]
        return replace(trained, details=details)
