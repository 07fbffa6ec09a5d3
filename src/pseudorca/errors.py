"""The exception tree.

Every error a user can cause derives from :class:`PseudorcaError`, which the command line prints as
one line. A message says what went wrong, where, what was found, what was expected, and what to do.

::

    PseudorcaError
    ├── AudioError           a file or waveform that cannot be read or used
    ├── ManifestError        folders, labels, metadata or recordings that contradict each other
    ├── TableError           a table of a user that cannot be read
    ├── ClipError            windows or selection tables that cannot be cut
    ├── FoldError            a split that cannot be made, or that is not what it says
    ├── FrontEndError        settings of a spectrogram that make no sense
    ├── BackboneError        an unknown network, or weights that are missing or do not fit
    ├── HeadError            a classifier head that cannot be trained or applied
    ├── ClassifierError      a saved classifier that is missing, damaged or from another set-up
    ├── StoreError           a project folder that is missing, damaged or of another version
    ├── SimulationError      settings of a simulated survey that make no sense, or a folder in use
    └── MissingExtraError    an optional dependency that is not installed
"""

import difflib
from collections.abc import Iterable


class PseudorcaError(Exception):
    """Base of all errors that a user can cause and correct.

    Examples
    --------
    >>> issubclass(AudioError, PseudorcaError)
    True
    """


class AudioError(PseudorcaError):
    """A file or waveform that cannot be read or used.

    Parameters
    ----------
    reason : str, a short, stable phrase
    detail : str, what exactly was wrong; may be empty

    Examples
    --------
    >>> str(AudioError("empty file", "0 bytes"))
    'empty file: 0 bytes'
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["AudioError"], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class ManifestError(PseudorcaError):
    """Folders, labels, metadata or recordings that contradict each other.

    Examples
    --------
    >>> from pseudorca.recordings.options import ScanOptions
    >>> ScanOptions(on_conflict="keep")
    Traceback (most recent call last):
    pseudorca.errors.ManifestError: unknown --on-conflict 'keep'. Known: drop, error.
    """


class TableError(PseudorcaError):
    """A table that a user brings and that cannot be read.

    Examples
    --------
    >>> from pseudorca.formats.user_tables import read_user_table
    >>> read_user_table("a.csv", b"")
    Traceback (most recent call last):
    pseudorca.errors.TableError: a.csv holds no table: it has no line with text.
    """


class ClipError(PseudorcaError):
    """Windows or selection tables that cannot be cut.

    Examples
    --------
    >>> from pseudorca.recordings.options import ClipOptions
    >>> ClipOptions(min_fill=0)
    Traceback (most recent call last):
    pseudorca.errors.ClipError: min_fill 0: expected a share above 0, up to 1.
    """


class FoldError(PseudorcaError):
    """A split that cannot be made, or that does not hold what its name promises.

    Examples
    --------
    >>> from pseudorca.recordings.folds import Split
    >>> Split(n_folds=1)
    Traceback (most recent call last):
    pseudorca.errors.FoldError: 1 fold: a split needs at least 2.
    """


class FrontEndError(PseudorcaError):
    """Settings of a spectrogram that make no sense.

    Examples
    --------
    >>> from pseudorca.recordings.bands import check_band
    >>> check_band("16")
    Traceback (most recent call last):
    pseudorca.errors.FrontEndError: unknown band '16'. Did you mean '16k'? Known: ...
    """


class BackboneError(PseudorcaError):
    """An unknown network, or weights that are missing or do not fit.

    Examples
    --------
    >>> try:
    ...     raise BackboneError("unknown network 'resnet19'. Did you mean 'resnet18'?")
    ... except PseudorcaError as error:
    ...     print(error)
    unknown network 'resnet19'. Did you mean 'resnet18'?
    """


class HeadError(PseudorcaError):
    """A classifier head that cannot be trained or applied.

    Examples
    --------
    >>> try:
    ...     raise HeadError("1 class: a head needs two or more.")
    ... except PseudorcaError as error:
    ...     print(error)
    1 class: a head needs two or more.
    """


class ClassifierError(PseudorcaError):
    """A saved classifier that is missing, damaged, or does not fit the data.

    Examples
    --------
    >>> try:
    ...     raise ClassifierError("the classifier has no file head.safetensors.")
    ... except PseudorcaError as error:
    ...     print(error)
    the classifier has no file head.safetensors.
    """


class StoreError(PseudorcaError):
    """A project folder that is missing, damaged, or of another version.

    Examples
    --------
    >>> from pseudorca.store import Store
    >>> Store("no such folder")
    Traceback (most recent call last):
    pseudorca.errors.StoreError: no such folder is not a pseudorca project. Begin with: ...
    """


class SimulationError(PseudorcaError):
    """Settings of a simulated survey that make no sense, or a folder that is already in use.

    Examples
    --------
    >>> try:
    ...     raise SimulationError("n_encounters is 0: at least 1.")
    ... except PseudorcaError as error:
    ...     print(error)
    n_encounters is 0: at least 1.
    """


class MissingExtraError(PseudorcaError):
    """An optional dependency that is not installed.

    Parameters
    ----------
    package : str, the package that is missing
    extra : str, the extra of pseudorca that installs the package

    Examples
    --------
    >>> str(MissingExtraError("librosa", "classic"))
    "librosa is not installed. Install it with: pip install 'pseudorca[classic]'"
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'pseudorca[{extra}]'"
        )
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        return type(self), (self.package, self.extra)


def unknown_name(kind: str, name: str, valid: Iterable[str], *, shown: int = 40) -> str:
    """Write the message for an unknown name: the closest match first, then some valid names.

    Parameters
    ----------
    kind : str, what the name stands for, such as ``band``
    name : str, the unknown name
    valid : iterable of str, the valid names
    shown : int, most valid names that are listed; 0 lists none

    Returns
    -------
    str

    Examples
    --------
    >>> unknown_name("band", "16", ["16k", "48k"])
    "unknown band '16'. Did you mean '16k'? Known: 16k, 48k."
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    known = ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
    return f"unknown {kind} {name!r}.{guess}" + (f" Known: {known}." if shown else "")
