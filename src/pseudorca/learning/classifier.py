"""The classifier: clip options, front end, backbone, head, calibration, as one thing on disk.

Saved as JSON and safetensors, it holds everything needed to get the same number from the same clip,
and nothing that runs code.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pseudorca.embedding.augmentation.copies import ViewSet, referring
from pseudorca.embedding.embedder import Precision
from pseudorca.embedding.joint import AnyEmbedder, load_embedders, remove_embedders, save_embedders
from pseudorca.errors import ClassifierError, MissingExtraError, PseudorcaError
from pseudorca.learning.calibration import Calibrator
from pseudorca.learning.heads.base import TrainedHead, load_trained
from pseudorca.learning.novelty import Novelty
from pseudorca.learning.preparation import PLAIN, Preparation, referred
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.clips import ClipOptions

FORMAT = 4

_ABOUT = "classifier.json"
_HEAD = "head.safetensors"
_NOVELTY = "novelty.safetensors"
_HELD_OUT = "held_out.parquet"
_FRESH = "being written"


@dataclass
class Classifier:
    """Everything between samples and log-probabilities."""

    embedder: AnyEmbedder
    clip_options: ClipOptions
    head: TrainedHead
    training: dict[str, Any] = field(default_factory=dict)
    """Provenance: head settings, counts, encounters, seeds, package and table versions."""
    calibrators: dict[str, Calibrator] = field(default_factory=dict)
    """By kind of unit: ``clip``, ``recording``, ``encounter``."""
    novelty: Novelty | None = None
    held_out: pd.DataFrame | None = None
    """What the recipe said of its own training encounters while they were held out, calibrated by
    others: a row per kind of unit, unit and repeat. Thresholds are chosen on it."""
    preparation: Preparation = PLAIN
    """What is made of embeddings before the head scores them."""
    views: ViewSet | None = None
    """Altered copies over which a clip is averaged, where ``preparation`` says so."""

    @property
    def classes(self) -> list[str]:
        return self.head.classes

    @property
    def classifier_id(self) -> str:
        """Identifies embedder, clip options and head; any other number gives another."""
        digest = xxhash.xxh3_128(self.embedder.embedder_id.encode())
        made_of: list[Any] = [asdict(self.clip_options), self.classes, self.head.kind]
        made_of += [{unit: c.as_dict() for unit, c in sorted(self.calibrators.items())}]
        if self.preparation != PLAIN:
            made_of += [self.preparation.settings(), self.views and asdict(self.views)]
        digest.update(json.dumps(made_of).encode())
        for _, values in sorted(self.head.arrays().items()):
            digest.update(values.tobytes())
        return digest.hexdigest()[:20]

    def calibrator(self, unit: str) -> Calibrator:
        """The calibrator of a kind of unit; one that changes nothing if training could fit none."""
        return self.calibrators.get(unit) or Calibrator(self.classes)

    def log_probabilities(
        self, waveforms: list[Samples], *, sample_rate: int
    ) -> NDArray[np.float64]:
        """Score waveforms directly, by the same steps as stored clips; not calibrated.

        Parameters
        ----------
        waveforms : list of ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz

        Returns
        -------
        ndarray [shape=(n_waveforms, n_classes)]

        Raises
        ------
        AudioError
            If a waveform is too short, not finite or silent.
        ClassifierError
            If the classifier needs more than a waveform: other clips of its group, or its recording.
        """
        made = self.preparation
        if made.centre != "none" or made.test_views:
            raise ClassifierError(
                f"this classifier's embeddings are {made.name}, which takes the recordings that the "
                "clips come from. Use pseudorca predict."
            )
        vectors = self.embedder.vectors(waveforms, sample_rate=sample_rate)
        if made.reference != "none":
            behind = referring(self.embedder).vectors(waveforms, sample_rate=sample_rate)
            vectors = referred(vectors, behind, made.reference)
        return self.head.log_probabilities(vectors)

    def save(self, folder: Path) -> None:
        """Write the classifier, beside the one that is there, which then gives way to it.

        Raises
        ------
        ClassifierError
            If it cannot be written; what was there stays.
        """
        fresh = folder / _FRESH
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            self._write(fresh)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ClassifierError(
                f"the classifier cannot be written to {folder} ({error}); the one that was there is "
                "kept. Make room, then run the same command again."
            ) from error
        (folder / _ABOUT).unlink(missing_ok=True)  # a half-moved one cannot be loaded
        for name in (_NOVELTY, _HELD_OUT):
            (folder / name).unlink(missing_ok=True)
        remove_embedders(folder)
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == _ABOUT):
            path.replace(folder / path.name)
        fresh.rmdir()

    def _write(self, folder: Path) -> None:
        save_embedders(self.embedder, folder)
        save_file(self.head.arrays(), folder / _HEAD)
        if self.novelty is not None:
            save_file(self.novelty.arrays(), folder / _NOVELTY)
        if self.held_out is not None:
            self.held_out.to_parquet(folder / _HELD_OUT, index=False)
        about = {
            "format": FORMAT,
            "classifier_id": self.classifier_id,
            "classes": self.classes,
            "clips": asdict(self.clip_options),
            "training": self.training,
            "head_kind": self.head.kind,
            "head": self.head.details,
            "calibration": {unit: made.as_dict() for unit, made in self.calibrators.items()},
            "preparation": self.preparation.settings(),
            "views": self.views and asdict(self.views),
        }
        (folder / _ABOUT).write_text(json.dumps(about, indent=2, default=str) + "\n")

    @classmethod
    def load(
        cls, folder: Path, *, device: str = "auto", precision: Precision = "auto"
    ) -> "Classifier":
        """Read what :meth:`save` wrote.

        Raises
        ------
        ClassifierError
            If there is none, it is damaged, or of another format.
        """
        if not (folder / _ABOUT).exists():
            raise ClassifierError(f"there is no classifier in {folder} yet. Run: pseudorca train")
        try:
            about = json.loads((folder / _ABOUT).read_text())
            arrays = load_file(folder / _HEAD)
            novelty, held_out = None, None
            if (folder / _NOVELTY).exists():
                novelty = Novelty.from_arrays(load_file(folder / _NOVELTY))
            if (folder / _HELD_OUT).exists():
                held_out = pd.read_parquet(folder / _HELD_OUT)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ClassifierError(
                f"no classifier can be read from {folder} ({error}). Run: pseudorca train"
            ) from error
        if about.get("format") != FORMAT:
            raise ClassifierError(
                f"{folder} holds a classifier of format {about.get('format')}, this version reads "
                f"format {FORMAT}. Use the version that made it, or train again."
            )
        try:
            head = load_trained(about["head_kind"], about["classes"], arrays, about["head"])
            embedder = load_embedders(folder, device=device, precision=precision)
            calibrators = {
                unit: Calibrator.from_dict(values) for unit, values in about["calibration"].items()
            }
            options = ClipOptions(**about["clips"])
            preparation = Preparation(**about["preparation"])
            views = about["views"] and ViewSet.from_dict(about["views"])
            loaded = cls(
                embedder, options, head, about["training"], calibrators, novelty, held_out,
                preparation, views,
            )  # fmt: skip
        except MissingExtraError:
            raise
        except (KeyError, TypeError, PseudorcaError) as error:
            raise ClassifierError(f"the classifier in {folder} is damaged: {error}") from error
        if loaded.classifier_id != about["classifier_id"]:
            raise ClassifierError(
                f"the classifier in {folder} was saved as {about['classifier_id']} and reads as "
                f"{loaded.classifier_id}: a file was changed. Train again."
            )
        return loaded
