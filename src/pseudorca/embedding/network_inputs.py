"""Network inputs of clips, drawn once and kept: fine-tuning reads them in every epoch.

In: clips, recordings and an embedder. Out: :class:`ClipInputs`, which gives batches of clips as
tensors. All inputs are in one memory-mapped file. Pictures stay bytes, and a grey picture is stored in
one colour instead of three. A killed run resumes.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pseudorca.backbones import SoundBackbone
from pseudorca.embedding.drawing import clip_pictures
from pseudorca.embedding.embedder import Embedder
from pseudorca.errors import AudioError, StoreError
from pseudorca.formats.whole import write_text
from pseudorca.progress import Progress
from pseudorca.values import hash_of, plural

_DATA, _INDEX = "inputs.bin", "inputs.jsonl"
_COMMIT_CLIPS = 64
_SPARE = 1.05  # free disk space needed, relative to the size


@dataclass(frozen=True)
class ClipInputs:
    """The kept network inputs of clips, in the order of the clips.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "inputs.bin"
    ...     _ = path.write_bytes(bytes(12))
    ...     shapes = ((2, 3, 1), (2, 3, 1))
    ...     inputs = ClipInputs(path, "uint8", np.array([0, 6]), shapes, is_picture=True, is_grey=True)
    ...     inputs.batch([0, 1]).shape
    torch.Size([2, 3, 2, 3])
    """

    path: Path
    dtype: str
    offsets: NDArray[np.int64]
    """[shape=(n_clips,)], bytes from the file's start."""
    shapes: tuple[tuple[int, ...], ...]
    """Stored shape of each clip: (height, width, colours), or (n_windows, ...)."""
    is_picture: bool
    is_grey: bool
    """Whether the three colours of a picture are equal."""

    def __len__(self) -> int:
        return len(self.offsets)

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> torch.Tensor:
        """Read clips of one shape.

        Parameters
        ----------
        rows : sequence of int

        Returns
        -------
        Tensor
            As :meth:`pseudorca.backbones.Backbone.forward` takes it: uint8 pictures
            [shape=(n, 3, height, width)], or float32 windows [shape=(n, n_windows, ...)].
        """
        shape = self.shapes[rows[0]]
        n_bytes = prod(shape) * np.dtype(self.dtype).itemsize
        kept = np.memmap(self.path, np.uint8, "r")
        joined = np.concatenate([kept[start : start + n_bytes] for start in self.offsets[rows]])
        inputs = torch.from_numpy(joined.view(self.dtype).reshape(-1, *shape))
        return inputs.permute(0, 3, 1, 2).expand(-1, 3, -1, -1) if self.is_picture else inputs


def inputs_id(embedder: Embedder) -> str:
    """Identifies the network inputs of an embedder, whatever the weights.

    Parameters
    ----------
    embedder : Embedder

    Returns
    -------
    str

    Examples
    --------
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> front_end = ClassicFrontEnd.in_band("16k", features="logmel")
    >>> embedder = Embedder(front_end, load_backbone("logmel"), "cpu")
    >>> len(inputs_id(embedder))
    20
    """
    described = embedder.description()
    size = {key: described["backbone"].get(key) for key in ("input_size", "window_shape")}
    return hash_of([described["front_end"], size, described.get("resize")])


def keep_inputs(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    folder: Path,
    *,
    tell: Callable[[str], object] = lambda text: None,
    progress: Progress | None = None,
) -> ClipInputs:
    """Draw the clips without a kept network input, and give access to all inputs.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    embedder : Embedder
    folder : Path
        Inputs lie in a folder below it, named by :func:`inputs_id`
    tell : callable, takes a sentence on the files to write and their size
    progress : callable (done, total) or None, over the clips to draw

    Returns
    -------
    ClipInputs, rows as in ``clips``

    Raises
    ------
    AudioError
        If a clip cannot be drawn.
    StoreError
        If there is too little room on the disk.

    Examples
    --------
    >>> import soundfile
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.recordings.clips import cut
    >>> from pseudorca.recordings.manifest import scan
    >>> noise = np.random.default_rng(0).standard_normal(96_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", noise, 32_000)
    ...     recordings = scan(folder).recordings
    ...     clips, _ = cut(recordings)
    ...     inputs = keep_inputs(clips, recordings, embedder, Path(folder) / "inputs")
    ...     inputs.batch([0]).shape
    torch.Size([1, 1, 256])
    """
    inputs_folder = folder / inputs_id(embedder)
    inputs_folder.mkdir(parents=True, exist_ok=True)
    is_picture = not isinstance(embedder.backbone, SoundBackbone)
    is_grey = is_picture and embedder.front_end.settings().get("colours") == "grey"
    dtype = "uint8" if is_picture else "float32"
    kept = _read_index(inputs_folder)
    todo = clips[~clips["clip_id"].isin(kept)]
    if len(todo):
        try:  # a full disk raises again when the file is closed
            _draw(todo, recordings, embedder, inputs_folder, is_grey, tell, progress)
        except OSError as error:
            raise StoreError(
                f"network inputs cannot be written to {inputs_folder}: {error.strerror}. Make room, "
                "then run the same command again: it goes on from there."
            ) from error
        kept = _read_index(inputs_folder)
    places = [kept[clip_id] for clip_id in clips["clip_id"]]
    return ClipInputs(
        inputs_folder / _DATA,
        dtype,
        np.array([offset for offset, _ in places], dtype=np.int64),
        tuple(shape for _, shape in places),
        is_picture,
        is_grey,
    )


def _draw(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    embedder: Embedder,
    folder: Path,
    is_grey: bool,
    tell: Callable[[str], object],
    progress: Progress | None,
) -> None:
    """Append missing inputs: first the data, then the index entry that makes them valid."""
    waiting: list[tuple[str, NDArray[np.generic]]] = []
    with (folder / _DATA).open("ab") as data, (folder / _INDEX).open("a") as index:

        def commit() -> None:
            offset = os.fstat(data.fileno()).st_size
            for _, values in waiting:
                data.write(np.ascontiguousarray(values).tobytes())
            data.flush()
            os.fsync(data.fileno())
            for clip_id, values in waiting:
                index.write(json.dumps([clip_id, offset, values.shape]) + "\n")
                offset += values.nbytes
            index.flush()
            waiting.clear()

        drawn = clip_pictures(clips, recordings, embedder)
        for n_done, (clip_id, picture) in enumerate(drawn, 1):
            if picture is None:
                raise AudioError(
                    "cannot be drawn",
                    f"clip {clip_id} was embedded and cannot be read any more: the recordings have "
                    "changed. Run pseudorca scan and embed again",
                )
            values = picture[..., :1] if is_grey else picture
            if n_done == 1:
                _announce(len(clips) * values.nbytes, len(clips), folder, tell)
            waiting.append((clip_id, values))
            if len(waiting) == _COMMIT_CLIPS or n_done == len(clips):
                commit()
            if progress:
                progress(n_done, len(clips))


def _announce(n_bytes: int, n_clips: int, folder: Path, tell: Callable[[str], object]) -> None:
    """Report the expected size, if all clips are like the first; StoreError if there is no room."""
    size = f"{n_bytes / 1e6:.3g} MB"
    free = shutil.disk_usage(folder).free
    if n_bytes * _SPARE > free:
        raise StoreError(
            f"the network inputs of {plural(n_clips, 'clip')} take about {size}, and {folder} has "
            f"{free / 1e6:.3g} MB. Make room, or train with fewer clips."
        )
    tell(f"Keeping the network inputs of {plural(n_clips, 'clip')}, about {size}, in {folder}")


def _read_index(folder: Path) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Offset and shape of the kept inputs; an incomplete last line of a killed run is removed."""
    path = folder / _INDEX
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        write_text(whole, path)
    places = (json.loads(line) for line in whole)
    return {clip_id: (offset, tuple(shape)) for clip_id, offset, shape in places}
