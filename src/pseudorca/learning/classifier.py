"""The classifier: clip options, front end, backbone, head and labels, as one thing on disk.

Saved as JSON and safetensors, it holds everything needed to get the same number from the same clip,
and nothing that runs code.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pseudorca.errors import ClassifierError, PseudorcaError
from pseudorca.features.embedding import Embedder, Precision, load_embedder, save_embedder
from pseudorca.learning.heads import LinearHead
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.clips import ClipOptions

FORMAT = 1

_ABOUT = "classifier.json"
_HEAD = "head.safetensors"


@dataclass
class Classifier:
    """Everything between samples and log-probabilities."""

    embedder: Embedder
    clip_options: ClipOptions
    head: LinearHead
    training: dict[str, Any] = field(default_factory=dict)
    """Provenance: head settings, counts, encounters, seeds, package and table versions."""

    @property
    def classes(self) -> list[str]:
        return self.head.classes

    @property
    def classifier_id(self) -> str:
        """Identifies embedder, clip options and head; any other number gives another."""
        digest = xxhash.xxh3_128(self.embedder.embedder_id.encode())
        digest.update(json.dumps([asdict(self.clip_options), self.classes]).encode())
        for values in self._arrays().values():
            digest.update(values.tobytes())
        return digest.hexdigest()[:20]

    def log_probabilities(
        self, waveforms: list[Samples], *, sample_rate: int
    ) -> NDArray[np.float64]:
        """Score waveforms directly, by the same steps as stored clips.

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
        """
        pictures = [self.embedder.input_picture(w, sample_rate=sample_rate) for w in waveforms]
        return self.head.log_probabilities(self.embedder.embed_pictures(pictures))

    def save(self, folder: Path) -> None:
        """Write the classifier; the JSON comes last, so a half-written one cannot be loaded."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _ABOUT).unlink(missing_ok=True)
        save_embedder(self.embedder, folder)
        save_file(self._arrays(), folder / _HEAD)
        about = {
            "format": FORMAT,
            "classifier_id": self.classifier_id,
            "classes": self.classes,
            "clips": asdict(self.clip_options),
            "training": self.training,
            "head": self.head.details,
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
        try:
            about = json.loads((folder / _ABOUT).read_text())
            arrays = load_file(folder / _HEAD)
        except (OSError, ValueError, SafetensorError) as error:
            raise ClassifierError(
                f"no classifier can be read from {folder} ({error}). Run: pseudorca train"
            ) from error
        if about.get("format") != FORMAT:
            raise ClassifierError(
                f"{folder} holds a classifier of format {about.get('format')}, this version reads "
                f"format {FORMAT}. Use the version that made it, or train again."
            )
        try:
            head = LinearHead(about["classes"], **arrays, details=about["head"])
            embedder = load_embedder(folder, device=device, precision=precision)
            loaded = cls(embedder, ClipOptions(**about["clips"]), head, about["training"])
        except (KeyError, TypeError, PseudorcaError) as error:
            raise ClassifierError(f"the classifier in {folder} is damaged: {error}") from error
        if loaded.classifier_id != about["classifier_id"]:
            raise ClassifierError(
                f"the classifier in {folder} was saved as {about['classifier_id']} and reads as "
                f"{loaded.classifier_id}: a file was changed. Train again."
            )
        return loaded

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        names = ("mean", "scale", "weights", "bias")
        return {name: np.ascontiguousarray(getattr(self.head, name)) for name in names}
