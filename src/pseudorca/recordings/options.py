"""The settings of a scan and of clips, checked before any table or sound is read.

In: numbers and names as a user types them. Out: valid options. This module imports neither pandas nor
NumPy, so a wrong option is refused at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pseudorca.errors import ClipError, ManifestError, unknown_name
from pseudorca.recordings import clocks, naming
from pseudorca.recordings.places import Place
from pseudorca.values import check_types, nfc

Pad = Literal["tile", "zero", "drop"]

NOTHING = "nothing"
"""The answer where no animal is heard, and no population; a folder of this name holds nothing."""

MEANINGS = ("path", "file", "encounter", "label", "platform", "start_utc", "time_zone")
"""What the columns of a table of metadata may mean."""

MIN_WINDOW_S, MIN_HOP_S = 0.02, 0.005
"""Less holds no spectrogram, and a typing error would make millions of clips."""


@dataclass(frozen=True)
class ScanOptions:
    """The settings of a scan: how folders and names become labels, encounters and times.

    Raises
    ------
    ManifestError
        If a setting is not valid.

    Examples
    --------
    >>> ScanOptions(labels=("Insular",), other=("Noise",)).all_labels
    ('Insular', 'Noise')
    """

    labels: tuple[str, ...] | None = None
    """Names of folders, at any depth, that are classes; None: every top-level folder is a class."""
    other: tuple[str, ...] = ()
    """Folders with none of the populations: noise, other species."""
    nothing: tuple[str, ...] = ()
    """Folders in which no animal is heard: they teach what nothing sounds like, and are no class."""
    metadata: Place | None = None
    """Table (path or URL) joined by ``path``, ``file`` or ``encounter``; its other columns are kept."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns of the metadata by what they mean, such as ``{"path": "Filename"}``."""
    missing: tuple[str, ...] = ()
    """Texts that mean in the metadata that nothing is known, such as ``NA``."""
    name_pattern: str | None = None
    """A user's own regular expression over the path relative to the folder."""
    time_format: str | None = None
    time_zone: str | None = None
    """The zone of recorders whose names give none: a name, an offset, or a column of the metadata;
    None: UTC."""
    full_hash: bool = False
    on_conflict: Literal["error", "drop"] = "error"
    """``error``: one sound under two labels is an error; ``drop``: both files are left out."""
    cut_gaps_h: float | None = None
    """Split encounters at gaps of more than this many hours."""

    def __post_init__(self) -> None:
        check_types(self, ManifestError)
        if self.cut_gaps_h is not None and not 0 < self.cut_gaps_h < math.inf:
            raise ManifestError(
                f"--cut-gaps {self.cut_gaps_h:g}: expected hours, more than 0 and finite."
            )
        both = set(map(naming.folded, self.other)) & set(map(naming.folded, self.nothing))
        if both:
            raise ManifestError(
                f"{min(both)} is given as --other and as --nothing. A folder holds other sounds, or "
                "nothing."
            )
        if self.on_conflict not in ("error", "drop"):
            raise ManifestError(unknown_name("--on-conflict", self.on_conflict, ("error", "drop")))
        for meaning in self.columns:
            if meaning not in MEANINGS:
                raise ManifestError(unknown_name("meaning in --columns", meaning, MEANINGS))
        if self.metadata is None and (self.columns or self.missing):
            raise ManifestError("--columns and --missing are about a table: give --metadata, too.")
        if self.name_pattern is not None:
            naming.compile_pattern(self.name_pattern)
        if self.time_format is not None:
            naming.check_time_format(self.time_format)
        if self.time_zone is not None and self.metadata is None:
            clocks.read_zone(self.time_zone)
        naming.refuse_answers(self.all_labels or ())
        for name in ("labels", "other", "nothing"):
            given = getattr(self, name)
            object.__setattr__(self, name, given and tuple(map(nfc, given)))

    @property
    def all_labels(self) -> tuple[str, ...] | None:
        """The folders that give a label, those of other sounds and of nothing among them."""
        return None if self.labels is None else self.labels + self.other + self.nothing


@dataclass(frozen=True)
class ClipOptions:
    """The settings of the cutting of recordings into clips.

    Raises
    ------
    ClipError
        If a setting is out of its range.

    Examples
    --------
    >>> ClipOptions(window_s=3.0, overlap_s=1.5).pad
    'tile'
    """

    window_s: float | None = 3.0
    """Length of a clip in seconds; None: each recording (or selection) is one clip."""
    overlap_s: float = 0.0
    """Seconds shared by one window and the next."""
    max_per_recording: int | None = None
    """Most windows of a recording, spread evenly over the recording. The windows may overlap."""
    pad: Pad = "tile"
    """The filling of a short clip: the clip again, zeros, or no clip at all (``drop``)."""
    min_fill: float = 0.5
    """The last, partial window is kept if at least this share of the window is sound."""
    channels: str = "mean"
    """``mean`` of all channels, ``first``, ``each`` as a clip, or the number of a channel, from 1."""

    def __post_init__(self) -> None:
        check_types(self, ClipError)
        if self.window_s is not None and not MIN_WINDOW_S <= self.window_s < math.inf:
            raise ClipError(
                f"--window {self.window_s:g}: expected seconds, at least {MIN_WINDOW_S} and finite."
            )
        if self.window_s is not None and not (
            0 <= self.overlap_s <= self.window_s - MIN_HOP_S + 1e-9
        ):
            raise ClipError(
                f"--overlap {self.overlap_s:g}: expected seconds, 0 or more, and at least "
                f"{MIN_HOP_S} s less than the window of {self.window_s} s."
            )
        if self.max_per_recording is not None and self.max_per_recording < 1:
            raise ClipError(f"at most {self.max_per_recording} windows: expected 1 or more.")
        if self.pad not in ("tile", "zero", "drop"):
            raise ClipError(unknown_name("padding", self.pad, ("tile", "zero", "drop")))
        if not 0 < self.min_fill <= 1:
            raise ClipError(f"min_fill {self.min_fill}: expected a share above 0, up to 1.")
        named = self.channels in ("mean", "first", "each")
        if not named and not (self.channels.isdecimal() and int(self.channels) >= 1):
            raise ClipError(
                f"channels {self.channels!r}: expected mean, first, each, or a number from 1."
            )
