"""The public classifier: a saved one, which says of files what it makes of them.

In: paths. Out: a :class:`~pseudorca.prediction.result.PredictionResult`, its tables in a temporary
folder. No project is read or written to.
"""

import weakref
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from pseudorca.access import created
from pseudorca.learning import classifier as learned
from pseudorca.prediction.options import DecisionOptions, prior_text
from pseudorca.prediction.predict import predict_project
from pseudorca.prediction.result import PredictionResult
from pseudorca.progress import ProgressChoice, shown_progress

Location = str | PathLike[str]


class Classifier(learned.Classifier):
    """A saved classifier that can be asked about files.

    Get one of a project with :meth:`pseudorca.Project.classifier`, one from a folder with
    :meth:`load`.

    Examples
    --------
    >>> classifier = Classifier.load("whales/classifiers/classifier")  # doctest: +SKIP
    >>> print(*classifier.predict("x.wav").sentences(), sep="\\n")  # doctest: +SKIP
    There is a 70.7 % chance that x.wav is Insular (prior uniform; encounters never heard: 0.78 ...
    """

    def predict(
        self,
        paths: Location | Sequence[Location],
        *,
        prior: str | Mapping[str, float] = "uniform",
        max_error: float | None = None,
        min_probability: float | None = None,
        min_moments: int = 1,
        max_novelty: float = 1.0,
        gate_db: float | None = None,
        progress: ProgressChoice = None,
    ) -> PredictionResult:
        """Say what files and folders sound like, with a sentence for each recording.

        Nothing is kept: the tables lie in a temporary folder that lives as long as the result.
        ``result.write(FOLDER)`` keeps them; :meth:`pseudorca.Project.predict` keeps what was heard.

        Parameters
        ----------
        paths : files, folders and remote addresses
        prior, max_error, min_probability, min_moments, max_novelty, gate_db
            As in :meth:`pseudorca.Project.predict`.
        progress : None (a bar), False (nothing) or callable (done, total), over seconds of sound

        Returns
        -------
        PredictionResult
            Its :meth:`~PredictionResult.sentences` and tables

        Raises
        ------
        ManifestError
            If a path does not exist, or there is no audio file.
        PseudorcaError
            If a wish is not possible.
        """
        wishes = DecisionOptions(
            prior_text(prior), max_error, min_probability, min_moments, max_novelty
        )
        several = [paths] if isinstance(paths, str | PathLike) else list(paths)
        places = [path if isinstance(path, str) else Path(path) for path in several]
        kept = TemporaryDirectory(prefix="pseudorca_", ignore_cleanup_errors=True)
        folder = Path(kept.name)
        with (
            created(folder / "project") as store,
            shown_progress(progress, "Predicting") as update,
        ):
            result = predict_project(
                store, places, self, decision=wishes, gate_db=gate_db,
                output=folder / "predictions", progress=update,
            )  # fmt: skip
        weakref.finalize(result, kept.cleanup)
        return result
