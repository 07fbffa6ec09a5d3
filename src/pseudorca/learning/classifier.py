"""The classifier: clip options, front end, backbone, head, calibration, as one thing on disk.

The saved classifier is JSON and safetensors. The files hold everything that gives the same number for
the same clip. The files hold no code.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pseudorca.embedding.augmentation.copies import ViewSet, referring
from pseudorca.embedding.embedder import (
    AnyEmbedder,
    load_embedders,
    remove_embedders,
    save_embedders,
)
from pseudorca.embedding.options import Precision
from pseudorca.errors import ClassifierError, MissingExtraError, PseudorcaError
from pseudorca.learning.calibration import Calibrator
from pseudorca.learning.dataset import Floats
from pseudorca.learning.false_alarms import NothingRule
from pseudorca.learning.heads.base import TrainedHead
from pseudorca.learning.heads.registry import load_trained
from pseudorca.learning.novelty import Novelty
from pseudorca.learning.preparation import PLAIN, Preparation, referred
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.options import ClipOptions
from pseudorca.values import nfc, plain_value

FORMAT = 5

_ABOUT = "classifier.json"
_HEAD = "head.safetensors"
_NOVELTY = "novelty.safetensors"
_HELD_OUT = "held_out.parquet"
_TRUST = "trust.json"
_FRESH = "being written"
_OPTIONAL = (_NOVELTY, _HELD_OUT)
_TRAINING_IN_ID = ("n_encounters", "moments")


@dataclass
class Classifier:
    """Everything between samples and log-probabilities.

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.embedding.embedder import Embedder
    >>> from pseudorca.frontends.common import CommonFrontEnd
    >>> embedder = Embedder(CommonFrontEnd(), load_backbone("logmel"), "cpu")
    >>> from pseudorca.learning.heads.base import LinearHead
    >>> n = embedder.backbone.embedding_size
    >>> head = LinearHead(["A", "B"], np.zeros(n), np.ones(n), np.zeros((2, n)), np.zeros(2))
    >>> classifier = Classifier(embedder, ClipOptions(), head)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     classifier.save(Path(folder))
    ...     loaded = Classifier.load(folder, device="cpu")
    >>> loaded.classes, loaded.classifier_id == classifier.classifier_id
    (['A', 'B'], True)
    """

    embedder: AnyEmbedder
    clip_options: ClipOptions
    head: TrainedHead
    training: dict[str, Any] = field(default_factory=dict)
    """Provenance: head settings, counts, encounters, seeds, package and table versions."""
    calibrators: dict[str, Calibrator] = field(default_factory=dict)
    """By kind of unit: ``clip``, ``recording``, ``encounter``."""
    novelty: Novelty | None = None
    held_out: pd.DataFrame | None = None
    """The calibrated out-of-fold scores of the training encounters: a row per kind of unit, unit and
    repeat. Thresholds are chosen on this table."""
    preparation: Preparation = PLAIN
    """How embeddings are changed before the head scores them."""
    views: ViewSet | None = None
    """Altered copies whose scores are averaged, if ``preparation`` has ``test_views``."""
    nothing: NothingRule | None = None
    """When a clip holds nothing; None for classifiers that do not know nothing."""
    trust: dict[str, Any] = field(default_factory=dict)
    """What evaluations and audits said of classifiers made like this one, as JSON values (see
    :class:`pseudorca.evaluation.trust.Trust`). It decides no answer, and is not in the id."""

    @property
    def classes(self) -> list[str]:
        """The classes of the scores, sorted."""
        return self.head.classes

    @property
    def classifier_id(self) -> str:
        """Identifies everything that decides an answer; any change gives another id.

        That is embedder, clip options, preparation, head, calibration, novelty, the record of
        held-out encounters (thresholds), and which encounters and moments were trained on (the prior
        ``train``, the column ``in_training``).
        """
        digest = xxhash.xxh3_128(self.embedder.embedder_id.encode())
        settings = {
            "clips": asdict(self.clip_options),
            "classes": self.classes,
            "head": self.head.kind,
            "calibration": {unit: c.as_dict() for unit, c in sorted(self.calibrators.items())},
            "preparation": self.preparation.settings(),
            "views": self.views and asdict(self.views),
            "training": {name: self.training.get(name) for name in _TRAINING_IN_ID},
        }
        if self.nothing is not None:
            settings["nothing"] = asdict(self.nothing)
        digest.update(json.dumps(settings, sort_keys=True, default=plain_value).encode())
        _add_arrays(digest, _HEAD, self.head.arrays())
        if self.novelty is not None:
            _add_arrays(digest, _NOVELTY, self.novelty.arrays())
        if self.held_out is not None:
            _add_arrays(digest, _HELD_OUT, _columns_as_arrays(self.held_out))
        return digest.hexdigest()[:20]

    def calibrator(self, unit: str) -> Calibrator:
        """The calibrator of a kind of unit; an identity if training could not fit any."""
        return self.calibrators.get(unit) or Calibrator(self.classes)

    def log_probabilities(self, waveforms: list[Samples], *, sample_rate: int) -> Floats:
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
        preparation = self.preparation
        if preparation.centre != "none" or preparation.test_views:
            raise ClassifierError(
                f"this classifier's embeddings are {preparation.name}, which needs the recordings of "
                "the clips. Use pseudorca predict."
            )
        vectors = self.embedder.vectors(waveforms, sample_rate=sample_rate)
        if preparation.reference != "none":
            behind = referring(self.embedder).vectors(waveforms, sample_rate=sample_rate)
            vectors = referred(vectors, behind, preparation.reference)
        return self.head.log_probabilities(vectors)

    def save(self, folder: Path) -> None:
        """Write the classifier beside the old one, then replace the old one.

        Raises
        ------
        ClassifierError
            If the classifier cannot be written; the old classifier stays.
        """
        fresh = folder / _FRESH
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            self._write(fresh)
        except (OSError, SafetensorError, PseudorcaError) as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ClassifierError(
                f"the classifier cannot be written to {folder} ({error}); the classifier that was "
                "there is kept. Make room, then run the same command again."
            ) from error
        (folder / _ABOUT).unlink(missing_ok=True)  # a half-moved classifier cannot be loaded
        for name in (*_OPTIONAL, _TRUST):
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
        record = {
            "format": FORMAT,
            "classifier_id": self.classifier_id,
            "classes": self.classes,
            "clips": asdict(self.clip_options),
            "training": self.training,
            "head_kind": self.head.kind,
            "head": self.head.details,
            "calibration": {unit: c.as_dict() for unit, c in self.calibrators.items()},
            "preparation": self.preparation.settings(),
            "views": self.views and asdict(self.views),
            "nothing": self.nothing and asdict(self.nothing),
            "files": _hashes_of_files(folder),
        }
        (folder / _ABOUT).write_text(json.dumps(record, indent=2, default=plain_value) + "\n")
        if self.trust:
            save_trust(folder, self.trust)

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str = "auto", precision: Precision = "auto"
    ) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ClassifierError
            If the folder holds no classifier, the format is another, or a file is missing, damaged
            or not the saved one.
        """
        folder = Path(folder)
        record = read_record(folder)
        _check_files(folder, record)
        try:
            arrays, files = load_file(folder / _HEAD), record["files"]
            loaded = cls(
                load_embedders(folder, device=device, precision=precision),
                ClipOptions(**record["clips"]),
                load_trained(record["head_kind"], record["classes"], arrays, record["head"]),
                record["training"],
                {unit: Calibrator(**values) for unit, values in record["calibration"].items()},
                Novelty.from_arrays(load_file(folder / _NOVELTY)) if _NOVELTY in files else None,
                pd.read_parquet(folder / _HELD_OUT) if _HELD_OUT in files else None,
                Preparation(**record["preparation"]),
                record["views"] and ViewSet.from_dict(record["views"]),
                _rule(record.get("nothing")),
                read_trust(folder),
            )
            loaded_id = loaded.classifier_id
        except MissingExtraError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError, OSError, SafetensorError,
                PseudorcaError) as error:  # fmt: skip
            raise ClassifierError(f"the classifier in {folder} is damaged: {error}") from error
        if loaded_id != record.get("classifier_id"):
            raise ClassifierError(
                f"the classifier in {folder} was saved as {record.get('classifier_id')} and reads as "
                f"{loaded_id}: {_ABOUT} was changed. Train again."
            )
        return loaded


def is_name(text: str) -> bool:
    """Whether a text can be the name of a classifier in a project, and is no path.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_name("classifier 2"), is_name("../other/classifiers/classifier")
    (True, False)
    """
    return re.fullmatch(r"\w[\w. -]*", nfc(text)) is not None


def saved_id(folder: Path) -> str | None:
    """The id of the classifier that is saved in a folder; None if it cannot be read.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    str or None

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(saved_id(Path(folder)))
    None
    """
    try:
        return str(read_record(folder)["classifier_id"])
    except (ClassifierError, KeyError):
        return None


def read_trust(folder: Path) -> dict[str, Any]:
    """Read what :func:`save_trust` kept; empty if nothing was kept.

    Parameters
    ----------
    folder : Path, of the classifier

    Returns
    -------
    dict, JSON values
    """
    path = folder / _TRUST
    return dict(json.loads(path.read_text())) if path.exists() else {}


def save_trust(folder: Path, trust: Mapping[str, Any]) -> None:
    """Keep with a saved classifier what evaluations and audits said of its kind.

    Parameters
    ----------
    folder : Path, of the classifier
    trust : mapping, as JSON values
    """
    path = folder / _TRUST
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(trust, indent=2) + "\n")
    fresh.replace(path)


def read_record(folder: Path) -> dict[str, Any]:
    """Read what is known of a saved classifier, without loading it.

    Parameters
    ----------
    folder : Path, of the classifier

    Returns
    -------
    dict, the content of ``classifier.json``

    Raises
    ------
    ClassifierError
        If the file is missing or damaged, or of another format.
    """
    path = folder / _ABOUT
    if not path.exists():
        raise ClassifierError(f"there is no classifier in {folder} yet. Run: pseudorca train")
    try:
        record = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ClassifierError(f"{path} cannot be read ({error}). Run: pseudorca train") from error
    if record.get("format") != FORMAT:
        raise ClassifierError(
            f"{folder} holds a classifier of format {record.get('format')}, this version reads "
            f"format {FORMAT}. Use the version that made it, or train again."
        )
    return record


def _rule(values: Mapping[str, Any] | None) -> NothingRule | None:
    if values is None:
        return None
    return NothingRule(values["threshold"], tuple((k, n) for k, n in values["alarms"]))


def _check_files(folder: Path, record: dict[str, Any]) -> None:
    """ClassifierError if a file beside ``classifier.json`` is not the one that was saved with it."""
    saved = record.get("files")
    if not isinstance(saved, dict) or _HEAD not in saved:
        raise ClassifierError(
            f"{folder / _ABOUT} does not list the files of the classifier: it was changed. Run: "
            "pseudorca train"
        )
    for name, expected in saved.items():
        path = folder / name
        try:
            got = _hash_of_file(path)
        except OSError as error:
            raise ClassifierError(
                f"{path} cannot be read ({error.strerror or error}), and the classifier was saved "
                "with it. Put the file back, or run: pseudorca train"
            ) from error
        if got != expected:
            raise ClassifierError(
                f"{path} is not the file that the classifier was saved with: its hash is "
                f"{got[:12]}, expected {str(expected)[:12]}. Put the file back, or run: pseudorca "
                "train"
            )
    for name in _OPTIONAL:
        if name not in saved and (folder / name).exists():
            raise ClassifierError(
                f"{folder / name} belongs to another classifier: the one in {folder} was saved "
                "without such a file. Remove it."
            )


def _hashes_of_files(folder: Path) -> dict[str, str]:
    """Hash of each saved file beside ``classifier.json``, by name below the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash_of_file(path) for path in paths}


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _add_arrays(digest: Any, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    for key, values in sorted(arrays.items()):
        digest.update(f"{name}|{key}|{values.dtype}|{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())


def _columns_as_arrays(table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Columns as numbers that do not change when the table is written and read."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, column in table.items():
        if is_numeric_dtype(column.dtype):
            arrays[str(name)] = column.to_numpy(dtype=np.float64)
        else:  # text may come back as another kind of string
            codes, texts = pd.factorize(column)
            arrays[str(name)] = np.asarray(codes, dtype=np.int64)
            joined = json.dumps([str(text) for text in texts]).encode()
            arrays[f"{name} texts"] = np.frombuffer(joined, dtype=np.uint8)
    return arrays
