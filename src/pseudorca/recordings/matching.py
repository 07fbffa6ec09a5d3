"""Find the files that a table means, by the ends of their paths.

Tables are written on other machines: with drives, backslashes, folders above that are elsewhere now,
or with bare names. Case and the composition of accents differ between file systems.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable


class Files:
    """Files by the ends of their paths.

    Parameters
    ----------
    files : iterable of (root, path relative to the root)

    Examples
    --------
    >>> files = Files([("/sea", "Insular/a/x.wav"), ("/sea", "Pelagic/b/x.wav")])
    >>> files.find(r"D:\\HICEAS\\Pelagic\\b\\x.wav"), files.find("a/X.WAV"), files.find("c/x.wav")
    (([1], 3), ([0], 2), ([], 0))
    >>> files.find("x.wav")
    ([0, 1], 1)
    """

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        self._whole: list[list[str]] = []
        self._n_below: list[int] = []
        self._by_name: dict[str, list[int]] = defaultdict(list)
        for place, (root, path) in enumerate(files):
            below = _parts(path)
            self._whole.append([*_parts(root), *below])
            self._n_below.append(len(below))
            name = below[-1].casefold()
            for known in {name, name.rpartition(".")[0] or name}:
                self._by_name[known].append(place)

    def find(self, name: str, *, by_name: bool = False) -> tuple[list[int], int]:
        """Find the files of a name: one if it is clear, several if it is not.

        A file fits if the name is an end of its path, or if the name ends like its path below the
        root. Of several that fit, those with the longest common end are returned, and of these, those
        that agree in case.

        Parameters
        ----------
        name : str, a path, relative or absolute, of any system; an ending may be missing
        by_name : bool, if none fits, return the files whose last part fits

        Returns
        -------
        places : list of int, numbers of files from 0
        n_parts : int, parts of the path that agree
        """
        parts = _parts(name)
        if len(parts) == 1 and ":" in name and not self._candidates(parts):
            parts = [part for part in name.split(":") if part]  # as Mac OS 9 and Excel wrote paths
        ranked: dict[tuple[bool, int], list[int]] = defaultdict(list)
        candidates = self._candidates(parts)
        for place in candidates:
            n, whole = 1, self._whole[place]
            while n < min(len(parts), len(whole)) and _same(parts[-n - 1], whole[-n - 1]):
                n += 1
            if n == len(parts) or n >= self._n_below[place]:
                ranked[n == len(parts) == self._n_below[place], n].append(place)
        if not ranked:
            found = candidates if by_name else []
            return found, min(len(found), 1)
        _, n = best = max(ranked)
        found = ranked[best]
        if len(found) > 1:
            of_case = [place for place in found if self._whole[place][-n:] == parts[-n:]]
            found = of_case or found
        return found, n

    def _candidates(self, parts: list[str]) -> list[int]:
        return self._by_name.get(parts[-1].casefold(), []) if parts else []


def _parts(path: str) -> list[str]:
    text = unicodedata.normalize("NFC", path).replace("\\", "/")
    return [part for part in text.split("/") if part not in ("", ".")]


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
