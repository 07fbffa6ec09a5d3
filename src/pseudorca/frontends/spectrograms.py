"""The stage ``spectrograms``: the pictures of the study as PNG files."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from os import cpu_count
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pandas as pd
from PIL import Image

from pseudorca.errors import AudioError
from pseudorca.formats.whole import whole_file
from pseudorca.frontends.study_picture import LAYOUTS, StudyFrontEnd
from pseudorca.progress import Progress
from pseudorca.recordings import audio
from pseudorca.recordings.manifest import full_path, project_recordings
from pseudorca.results import Result, attention, counted
from pseudorca.store import Store, problem_table, shown_problems
from pseudorca.values import plural

UNLABELLED = "Unknown"

_AHEAD = 64


@dataclass(frozen=True, eq=False, repr=False)
class SpectrogramsResult(Result):
    """The pictures of the study, as files.

    Examples
    --------
    >>> problems = pd.DataFrame({"path": [], "reason": []})
    >>> print(SpectrogramsResult(Path("pictures"), "tight", {"Insular": 2}, 1, problems))
    2 pictures in pictures, 1 of them new.
    Pictures by class: Insular 2.
    No problems.
    """

    output: Path
    layout: str
    pictures_per_class: dict[str, int]
    n_new: int
    """Pictures that did not exist before."""
    problems: pd.DataFrame

    @property
    def n_pictures(self) -> int:
        """Number of pictures, old and new."""
        return sum(self.pictures_per_class.values())

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "output": str(self.output),
            "layout": self.layout,
            "n_pictures": self.n_pictures,
            "n_new": self.n_new,
            "pictures_per_class": self.pictures_per_class,
            "n_problems": len(self.problems),
            "problems": self.problems.to_dict("records"),
        }

    def summary(self) -> Sequence[str]:
        """Return the sentences of the summary."""
        return [
            f"{plural(self.n_pictures, 'picture')} in {self.output}, {self.n_new} of them new.",
            f"Pictures by class: {counted(self.pictures_per_class)}.",
            attention(len(self.problems)),
        ]

    def main_table(self) -> pd.DataFrame:
        """Return the number of pictures of each class."""
        return pd.DataFrame(self.pictures_per_class.items(), columns=["class", "pictures"])


def spectrograms_project(
    store: Store,
    folder: Path,
    *,
    layout: Literal["tight", "wide"] = "tight",
    unlabelled: bool = False,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> SpectrogramsResult:
    """Write the picture of the study of every labelled recording as a PNG file.

    The path is ``<folder>/<label>/<path of the recording>.png``, so equal names in two encounters give
    two files. A picture that exists is not drawn again.

    Parameters
    ----------
    store : Store
    folder : path of the folder for the pictures
    layout : ``tight`` (950 x 636) or ``wide`` (1200 x 800 with margins)
    unlabelled : bool, also draw recordings without a label, in the folder ``Unknown``
    n_threads : int or None, threads; None takes one per core
    progress : callable (done, total) or None, over recordings

    Returns
    -------
    SpectrogramsResult

    Raises
    ------
    ManifestError
        If the project holds no recordings.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import soundfile
    >>> from pseudorca.recordings.scan import scan_project
    >>> noise = np.random.default_rng(0).standard_normal(8_000) / 10
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "sound").mkdir()
    ...     soundfile.write(f"{folder}/sound/a.wav", noise, 16_000)
    ...     store = Store(Path(folder) / "project", create=True)
    ...     _ = scan_project(store, f"{folder}/sound")
    ...     result = spectrograms_project(store, Path(folder) / "pictures", unlabelled=True)
    >>> result.pictures_per_class
    {'Unknown': 1}
    """
    front_end = StudyFrontEnd(layout=layout)
    recordings = project_recordings(store)
    if not unlabelled:
        recordings = recordings[recordings["label"].notna()]
    write = partial(_write, front_end, folder)
    problems: list[tuple[str, str, str, str]] = []
    counts: Counter[str] = Counter()
    n_new = n_done = 0
    with ThreadPoolExecutor(n_threads or cpu_count()) as pool:
        waiting: Iterator[Any] = recordings.itertuples()
        while portion := list(islice(waiting, _AHEAD)):
            for row, is_new in zip(portion, pool.map(write, portion), strict=True):
                n_done += 1
                if isinstance(is_new, AudioError):
                    problems.append((row.path, "spectrograms", is_new.reason, is_new.detail))
                else:
                    counts[_label(row)] += 1
                    n_new += is_new
                if progress:
                    progress(n_done, len(recordings))
    table = problem_table(problems)
    store.replace("problems", table, stage="spectrograms")
    store.record_run("spectrograms", {"folder": str(folder), "layout": layout}, ("recordings",))
    return SpectrogramsResult(folder, layout, dict(counts), n_new, shown_problems(table))


def _picture_path(recording: Any) -> PurePosixPath:
    """Return the path of the picture of a recording, below the folder of all pictures.

    >>> row = pd.Series({"path": "Insular/Sette_44/a.wav", "label": "Insular"})
    >>> str(_picture_path(row))
    'Insular/Sette_44/a.wav.png'
    """
    path, label = PurePosixPath(recording.path), _label(recording)
    inside = path.relative_to(label) if path.parts[0] == label else path
    return PurePosixPath(label, f"{inside}.png")


def _label(recording: Any) -> str:
    return UNLABELLED if pd.isna(recording.label) else str(recording.label)


def _write(front_end: StudyFrontEnd, folder: Path, recording: Any) -> bool | AudioError:
    """Draw one picture -> False if the picture existed in the same layout."""
    target, layout = folder / _picture_path(recording), LAYOUTS[front_end.layout]
    if target.exists():
        with Image.open(target) as old:
            if old.size == (layout.width, layout.height):
                return False
    try:
        samples = audio.mix(
            audio.read_segment(full_path(recording), n_frames=int(recording.n_frames))
        )
        picture = front_end.picture(samples, sample_rate=recording.sample_rate)
    except AudioError as error:
        return error
    with whole_file(target) as part:
        Image.fromarray(picture).save(part, format="PNG")
    return True
