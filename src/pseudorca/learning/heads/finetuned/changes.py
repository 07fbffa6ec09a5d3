"""Random changes to the network inputs of training clips, batch by batch, on the network's device.

In: the network inputs of a batch, and of clips to mix in. Out: changed inputs; the changes leave alone
what the label is about. The changes depend on seed, epoch and batch only, so that a training that
resumes after a kill makes the same changes.

References
----------
.. [1] Park et al. 2019, "SpecAugment: a simple data augmentation method for automatic speech
   recognition", Interspeech: masks in time and frequency.
.. [2] Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: beyond empirical risk minimization", ICLR.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pseudorca.learning.dataset import Floats, Ints, Names
from pseudorca.learning.heads.base import check_settings

_QUIET_SHARE = 1 / 6  # of a clip's length: the stretch that is taken as background
_RANGE_DB = 80.0  # span of 256 grey levels
_LOWEST_TOP = 0.5  # least share of the rows that a limited band keeps


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How clips are changed in training; 0 leaves a change out.

    Grey pictures take all changes. Colour-mapped pictures (the study's) take all but background and
    gain, which have no meaning in colours. Windows of samples take shift, gain and mix-up. Other
    inputs of networks on sound take only mix-up.

    Raises
    ------
    HeadError
        If a value is outside its range.

    Examples
    --------
    >>> Augmentation(time_masks=2, mix_up=0.2).time_mask
    0.1
    """

    time_shift: float = 0.5
    """The clip is rolled, either way, by up to this share of its length."""
    time_masks: int = 0
    time_mask: float = 0.1
    """Greatest length of a mask, as a share of the clip."""
    frequency_masks: int = 0
    frequency_mask: float = 0.1
    """Greatest width of a mask, as a share of the rows."""
    band_limit: float = 0.0
    """Chance that the picture ends at a lower row; at least half of the rows stay."""
    background: float = 0.0
    """Chance that the quietest sixth of a clip of another encounter lies under the whole clip."""
    gain_db: float = 0.0
    """Greatest change of level in decibels, up or down."""
    mix_up: float = 0.0
    """Both parameters of the beta distribution that gives the share of another clip."""

    def __post_init__(self) -> None:
        shares = ("time_shift", "time_mask", "frequency_mask", "band_limit", "background")
        check_settings(self, shares, lambda x: 0 <= x <= 1, "a share from 0 to 1")
        not_negative = ("time_masks", "frequency_masks", "gain_db", "mix_up")
        check_settings(self, not_negative, lambda x: x >= 0, "0 or more")


@dataclass(frozen=True)
class Changes:
    """Changes to each clip of a batch; each array has a first axis of n clips.

    ``shift``: share of the length. ``time_masks, frequency_masks`` [shape=(n, n_masks, 2)]: begin and
    end, as shares of length and of rows. ``top``: share of the rows that stay. ``gain_db``: decibels.
    ``partner``: row of the clip that is mixed in. ``own_share``: share of the clip itself in the mix.
    ``behind``: row of the clip whose background is laid under the clip, if ``is_laid``.

    Examples
    --------
    >>> rows = np.arange(2)
    >>> groups = np.array(["e1", "e2"], dtype=object)
    >>> changes = draw_changes(Augmentation(mix_up=0.4), rows, rows, groups, np.random.default_rng(0))
    >>> changes.take(slice(0, 1)).own_share.shape
    (1,)
    """

    shift: Floats
    time_masks: Floats
    frequency_masks: Floats
    top: Floats
    gain_db: Floats
    partner: Ints
    own_share: Floats
    behind: Ints
    is_laid: NDArray[np.bool_]

    def take(self, which: slice) -> "Changes":
        """The changes of a part of the batch."""
        return replace(self, **{name: values[which] for name, values in vars(self).items()})


def draw_changes(
    settings: Augmentation, rows: Ints, pool: Ints, groups: Names, rng: np.random.Generator
) -> Changes:
    """Draw the changes to the clips of a batch.

    Parameters
    ----------
    settings : Augmentation
    rows : ndarray [shape=(n,)], the clips of the batch
    pool : ndarray [shape=(n_pool,)], the clips of the training side that may be mixed in
    groups : ndarray [shape=(n_clips,)], of all clips; a background comes from another group
    rng : Generator

    Returns
    -------
    Changes

    Examples
    --------
    >>> rows = np.arange(2)
    >>> groups = np.array(["e1", "e2"], dtype=object)
    >>> changes = draw_changes(Augmentation(), rows, rows, groups, np.random.default_rng(0))
    >>> changes.shift.shape
    (2,)
    """
    n = len(rows)
    behind = rows.copy()
    for k in np.flatnonzero(rng.random(n) < settings.background):
        others = pool[groups[pool] != groups[rows[k]]]
        if len(others):
            behind[k] = rng.choice(others)
    own_share, partner = np.ones(n), rows.copy()
    if settings.mix_up:
        own_share = rng.beta(settings.mix_up, settings.mix_up, n)
        partner = rng.choice(pool, n)
    limited = rng.random(n) < settings.band_limit
    return Changes(
        shift=rng.uniform(-settings.time_shift, settings.time_shift, n),
        time_masks=_masks(n, settings.time_masks, settings.time_mask, rng),
        frequency_masks=_masks(n, settings.frequency_masks, settings.frequency_mask, rng),
        top=np.where(limited, rng.uniform(_LOWEST_TOP, 1, n), 1.0),
        gain_db=rng.uniform(-settings.gain_db, settings.gain_db, n),
        partner=partner,
        own_share=own_share,
        behind=behind,
        is_laid=behind != rows,
    )


def _masks(n: int, n_masks: int, widest: float, rng: np.random.Generator) -> Floats:
    width = rng.uniform(0, widest, (n, n_masks))
    begin = rng.uniform(0, 1, (n, n_masks)) * (1 - width)
    return np.stack([begin, begin + width], axis=2)


def change(
    inputs: Tensor,
    partners: Tensor | None,
    behind: Tensor | None,
    changes: Changes,
    *,
    is_grey: bool,
) -> Tensor:
    """Apply changes to a batch.

    Parameters
    ----------
    inputs : Tensor, uint8 pictures [shape=(n, 3, height, width)] or float32 windows
        [shape=(n, n_windows, ...)]
    partners, behind : Tensor like ``inputs`` or None
        The clips that are mixed in, and the clips that give a background; None: no mixing
    changes : Changes, of these clips
    is_grey : bool, whether the three colours of a picture are equal

    Returns
    -------
    Tensor like ``inputs``

    Examples
    --------
    >>> rows = np.arange(2)
    >>> groups = np.array(["e1", "e2"], dtype=object)
    >>> changes = draw_changes(Augmentation(), rows, rows, groups, np.random.default_rng(0))
    >>> pictures = torch.zeros((2, 3, 4, 8), dtype=torch.uint8)
    >>> tuple(change(pictures, None, None, changes, is_grey=True).shape)
    (2, 3, 4, 8)
    """
    if inputs.dtype != torch.uint8:
        return _change_windows(inputs, partners, changes)
    pictures = inputs
    if behind is not None and is_grey:
        under = quietest(behind) * _column(changes.is_laid, pictures).to(torch.uint8)
        pictures = torch.maximum(pictures, under)
    if partners is not None:
        own = _column(changes.own_share, pictures)
        mixed = own * pictures + (1 - own) * partners
        pictures = mixed.round().to(torch.uint8)
    pictures = _rolled(pictures, changes.shift)
    height, width = pictures.shape[2:]
    row = torch.arange(height, device=pictures.device).view(1, 1, height, 1) / height
    frame = torch.arange(width, device=pictures.device).view(1, 1, 1, width) / width
    silent = row < _column(1 - changes.top, pictures)  # the highest row comes first
    for place, masks in ((frame, changes.time_masks), (row, changes.frequency_masks)):
        for k in range(masks.shape[1]):
            begin, end = (_column(masks[:, k, edge], pictures) for edge in (0, 1))
            silent = silent | ((place >= begin) & (place < end))
    if is_grey and changes.gain_db.any():
        steps = _column(changes.gain_db * (255 / _RANGE_DB), pictures).round()
        louder = (pictures + steps).clamp(0, 255).to(torch.uint8)
        pictures = torch.where(pictures > 0, louder, pictures)
    return pictures.masked_fill(silent, 0)


def quietest(pictures: Tensor) -> Tensor:
    """Repeat the quietest stretch of each picture over its width.

    Parameters
    ----------
    pictures : Tensor [shape=(n, colours, height, width)], uint8

    Returns
    -------
    Tensor like ``pictures``

    Examples
    --------
    >>> picture = torch.arange(12, dtype=torch.uint8).expand(1, 3, 1, 12)
    >>> quietest(picture)[0, 0, 0, :4].tolist()
    [0, 1, 0, 1]
    """
    width = pictures.shape[3]
    n_frames = max(1, round(_QUIET_SHARE * width))
    loudness = pictures.float().mean((1, 2))
    smooth = nn.functional.avg_pool1d(loudness[:, None], n_frames, 1)[:, 0]
    place = torch.arange(width, device=pictures.device) % n_frames
    index = smooth.argmin(1)[:, None] + place
    return torch.gather(pictures, 3, index[:, None, None, :].expand_as(pictures))


def mix_targets(targets: Tensor, partner_targets: Tensor, changes: Changes) -> Tensor:
    """Mix class probabilities in the same shares as the clips.

    Parameters
    ----------
    targets, partner_targets : Tensor [shape=(n, n_classes)]
    changes : Changes, of these clips

    Returns
    -------
    Tensor [shape=(n, n_classes)]

    Examples
    --------
    >>> rows = np.arange(2)
    >>> groups = np.array(["e1", "e2"], dtype=object)
    >>> changes = draw_changes(Augmentation(mix_up=0.4), rows, rows, groups, np.random.default_rng(0))
    >>> targets = torch.eye(2)
    >>> mix_targets(targets, targets.flip(0), changes).sum(1).tolist()
    [1.0, 1.0]
    """
    own = torch.from_numpy(changes.own_share).to(targets)[:, None]
    return own * targets + (1 - own) * partner_targets


def _change_windows(inputs: Tensor, partners: Tensor | None, changes: Changes) -> Tensor:
    windows = inputs
    if partners is not None:
        own = _column(changes.own_share, windows)
        windows = own * windows + (1 - own) * partners
    if windows.ndim > 3:
        return windows
    windows = _rolled(windows, changes.shift)
    return windows * _column(10 ** (changes.gain_db / 20), windows)


def _rolled(inputs: Tensor, shift: Floats) -> Tensor:
    """Roll each input along its last axis by a share of that axis."""
    length = inputs.shape[-1]
    steps = torch.from_numpy(np.round(shift * length).astype(np.int64)).to(inputs.device)
    index = (torch.arange(length, device=inputs.device) - steps[:, None]) % length
    between = [1] * (inputs.ndim - 2)
    return torch.gather(inputs, -1, index.view(len(inputs), *between, length).expand_as(inputs))


def _column(values: NDArray[np.generic], like: Tensor) -> Tensor:
    """A number per input, float32, to be broadcast over it."""
    column = torch.from_numpy(values.astype(np.float32)).to(like.device)
    return column.view(-1, *[1] * (like.ndim - 1))
