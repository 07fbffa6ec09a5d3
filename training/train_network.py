"""Train the network in the box on simulated sound.

    python training/train_network.py simulate CACHE
    python training/train_network.py train CACHE RUN --seed 1 [--set name=value ...]
    python training/train_network.py judge CACHE RUN [RUN ...]
    python training/train_network.py export FILE RUN [RUN ...]

Every step can be repeated: what is there already is not made again, and a training run goes on from
its last epoch. See README.md in this folder.
"""

import argparse
import dataclasses
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from simulated import (
    LOGARITHMIC,
    PARAMETERS,
    SIGNAL_COLUMNS,
    STEP_DB,
    Clips,
    ClipSettings,
    SurveyClips,
    SurveySettings,
    front_end,
    load_clips,
    seen_gain_db,
    simulate,
    simulated_survey,
)
from torch import Tensor, nn

from pseudorca.backbones.small_network import NetworkConfig, SideBySide, SmallNetwork
from pseudorca.frontends.common import filter_weights
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.recordings.folds import assign_folds
from pseudorca.simulation import KINDS

MAP_ROWS = 8  # of the dense map: the network's own, after four halvings
JUDGE_SEEDS = tuple(range(2000, 2010))


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the weights, with the simulated clips."""

    seed: int = 1
    clips: ClipSettings = field(default_factory=ClipSettings)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    n_epochs: int = 4
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    dropout: float = 0.1
    crop_frames: int = 160
    """Clips are cut to a stretch of so many frames, another one in each epoch."""
    audible_db: float = 0.0
    """Signals weaker than this, above the noise of their own band, are not there."""
    seen_db: float | None = None
    """Nor are signals weaker than this above the noise of the cells of the picture that they fill,
    added noise included; None: as if everything audible were seen."""
    parameter_weight: float = 1.0
    map_weight: float = 1.0
    """Of saying which kinds of signal are where in time and frequency."""
    quiet_weight: float = 0.1
    """Of being silent where there is no signal: the mean absolute embedding of such clips, as a
    share of that of the others."""
    mixing: bool = True
    """Add another recorder's background."""
    equalisation: bool = True
    hiss: bool = True
    tones: bool = True
    tiled_share: float = 0.5
    """Clips whose stretch is shorter, and repeated: so the product fills short recordings."""
    shortest_frames: int = 30
    unreached: bool = True
    """Cut off the top rows, as for a recording at a lower rate."""


class Targets:
    """Turns kept truths into targets for stretches of clips."""

    def __init__(self, clips: Clips, settings: TrainSettings) -> None:
        self.only_seen = settings.seen_db is not None
        pictures = front_end(settings.clips.band)
        n_fft = round(pictures.window_ms * 1e-3 * pictures.sample_rate)
        _, self.centres_hz = filter_weights(
            pictures.scale, pictures.n_rows, pictures.fmin_hz, pictures.fmax_hz, n_fft,
            pictures.sample_rate,
        )  # fmt: skip
        self.hop_s = pictures.hop_ms * 1e-3
        found = [rows[rows[:, 5] >= settings.audible_db] for rows in clips.signals]
        if settings.seen_db is not None:
            for rows in found:  # what is left is how much more noise would hide them
                rows[:, 5] += seen_gain_db(rows, pictures) - settings.seen_db
            found = [rows[rows[:, 5] >= 0.0] for rows in found]
        self.signals = [self._scaled(rows) for rows in found]
        every = np.concatenate([rows[:, SIGNAL_COLUMNS:] for rows in self.signals])
        self.mean, self.scale = np.nanmean(every, 0), np.maximum(np.nanstd(every, 0), 1e-3)

    @staticmethod
    def _scaled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = rows.copy()
        for place, name in enumerate(PARAMETERS):
            if name in LOGARITHMIC:
                column = rows[:, SIGNAL_COLUMNS + place]
                rows[:, SIGNAL_COLUMNS + place] = np.log(np.maximum(column, 1e-4))
        return rows

    def of(
        self,
        numbers: NDArray[np.int64],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        n_frames: int,
        drowned_db: NDArray[np.float32],
        n_reached: NDArray[np.int64],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Targets of stretches of clips, each repeated to ``n_frames`` where it is shorter.

        ``drowned_db`` [shape=(n,)]: by how much augmentation raised the noise; ``n_reached``: rows.

        Presence [shape=(n, kinds)], parameters [(n, parameters)], map [(n, kinds, 8, frames/16)].
        """
        n_columns = -(-n_frames // 16)
        presence = np.zeros((len(numbers), len(KINDS)), np.float32)
        parameters = np.full((len(numbers), len(PARAMETERS)), np.nan, np.float32)
        maps = np.zeros((len(numbers), len(KINDS), MAP_ROWS, n_columns), np.float32)
        for k, (number, start, length) in enumerate(zip(numbers, starts, lengths, strict=True)):
            rows = self.signals[number]
            if self.only_seen:
                below = rows[:, 3] < self.centres_hz[n_reached[k] - 1]
                rows = rows[below & (rows[:, 5] >= drowned_db[k])]
            length_s = length * self.hop_s
            begin = np.maximum(rows[:, 1] - start * self.hop_s, 0.0)
            end = np.minimum(rows[:, 2] - start * self.hop_s, length_s)
            inside = end - begin
            whole = np.maximum(rows[:, 2] - rows[:, 1], 1e-3)
            heard = inside >= np.minimum(0.1, 0.5 * whole)
            if not heard.any():
                continue
            rows, begin, end = rows[heard], begin[heard], end[heard]
            presence[k, rows[:, 0].astype(int)] = 1.0
            told = rows[(inside / whole)[heard] > 0.5, SIGNAL_COLUMNS:]
            there = ~np.isnan(told)
            counts = there.sum(0)
            sums = np.where(there, (told - self.mean) / self.scale, 0.0).sum(0)
            known = counts > 0
            parameters[k, known] = sums[known] / counts[known]
            for row, t0, t1 in zip(rows, begin, end, strict=True):
                low, high = np.searchsorted(self.centres_hz, row[3:5])
                top = MAP_ROWS - 1 - min(high, 127) // 16
                bottom = MAP_ROWS - min(low, 127) // 16
                for shift in range(0, n_frames, length):
                    first = (int(t0 / self.hop_s) + shift) // 16
                    last = min((int(t1 / self.hop_s) + shift) // 16, n_columns - 1)
                    maps[k, int(row[0]), top:bottom, first : last + 1] = 1.0
        return torch.from_numpy(presence), torch.from_numpy(parameters), torch.from_numpy(maps)


def augmented(
    levels: Tensor, others: Tensor, settings: TrainSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Another sea and recorder for each clip, and by how much its noise rose, in dB.

    Parameters
    ----------
    levels : Tensor [shape=(n, n_rows, n_frames)], dB, lowest frequency first
    others : Tensor of the same shape
        Clips without signals, whose background is added.
    """
    n, n_rows, n_frames = levels.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape or (n, 1, 1), generator=generator)

    def chosen(share: float) -> Tensor:
        return torch.rand(n, 1, 1, generator=generator) < share

    middle = levels[:, ::3, ::3].flatten(1).median(1).values.view(n, 1, 1)
    power = _power(levels)
    noise = torch.ones(n)
    if settings.mixing:
        rows = chosen(0.5).flatten().nonzero().flatten()
        other_middle = others[rows, ::3, ::3].flatten(1).median(1).values.view(-1, 1, 1)
        above = uniform(-15.0, 4.0)[rows]
        power[rows] += _power(others[rows] + middle[rows] + above - other_middle)
        noise[rows] += _power(above).flatten()
    if settings.tones:
        for _ in range(2):
            row = torch.randint(n_rows, (n, 1, 1), generator=generator)
            there = torch.arange(n_rows).view(1, -1, 1) == row
            power += chosen(0.15) * there * _power(middle + uniform(0.0, 25.0))
    if settings.equalisation:
        place = torch.linspace(0, 1, n_rows).view(1, -1, 1)
        curve = uniform(-15.0, 15.0) * (place - 0.5)
        for order in range(1, 7):
            phase = uniform(0.0, 6.2832)
            amplitude = torch.randn(n, 1, 1, generator=generator) * (6.0 / order)
            curve = curve + amplitude * torch.cos(3.1416 * order * place + phase)
        power *= torch.where(chosen(0.8), _power(curve), 1.0)
    if settings.hiss:
        rows = chosen(0.4).flatten().nonzero().flatten()
        grain = torch.empty(len(rows), n_rows, n_frames).exponential_(generator=generator)
        grain = 0.5 * (grain + grain.roll(1, 1))
        above = uniform(-15.0, 5.0)[rows]
        power[rows] += _power(middle[rows] + above) * grain
        noise[rows] += _power(above).flatten()
    return power.clamp_(min=1e-30).log_().mul_(10 / math.log(10)), 10 * noise.log10()


def _power(levels: Tensor) -> Tensor:
    return (levels * (math.log(10) / 10)).exp_()


def grey_pictures(levels: Tensor, n_reached: Tensor, range_db: float = 80.0) -> Tensor:
    """What ``CommonFrontEnd.colour`` draws of levels, as [shape=(n, 1, n_rows, n_frames)] in [0, 1]."""
    n_rows = levels.shape[1]
    reached = torch.arange(n_rows).view(1, -1, 1) < n_reached.view(-1, 1, 1)
    heard = torch.where(reached, levels, -torch.inf)
    floor = heard.amax((1, 2), keepdim=True) - range_db
    index = ((levels - floor) * (255.999 / range_db)).clamp(0, 255).floor()
    index = torch.where(reached, index, 0.0)
    return index.flip(1).unsqueeze(1) / 255


def pooled_to_learn(maps: Tensor, n_bands: int) -> Tensor:
    """What training answers from: mean and maximum over time, in half as many bands.

    As many numbers as the embedding, which is the square root of means alone. That was found better
    after training, for each of nine networks (see the model card), and training with means alone
    made no difference to it.
    """
    n, channels, rows, frames = maps.shape
    bands = maps.view(n, channels, n_bands, rows // n_bands, frames)
    return torch.cat([bands.mean((3, 4)), bands.mean(3).amax(3)], 1).flatten(1)


class Trainee(nn.Module):
    """The network with what only training needs."""

    def __init__(self, settings: TrainSettings) -> None:
        super().__init__()
        self.network = SmallNetwork(settings.network, len(KINDS) + len(PARAMETERS))
        size = settings.network.embedding_size
        self.standardise = nn.BatchNorm1d(size, affine=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.map_head = nn.Conv2d(settings.network.widths[-1], len(KINDS), 1)
        nn.init.constant_(self.map_head.bias, -3.0)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.network.maps(pictures)
        embedding = pooled_to_learn(maps, self.network.config.n_bands // 2)
        # A tenth of the standard deviation: with steps of Adam's size, a thousand inputs of unit
        # size would throw the outputs about.
        told = self.network.head(self.dropout(0.1 * self.standardise(embedding)))
        return embedding, told, self.map_head(maps)


def loss_of(
    trainee: Trainee,
    pictures: Tensor,
    targets: tuple[Tensor, Tensor, Tensor],
    settings: TrainSettings,
) -> tuple[Tensor, dict[str, float]]:
    presence, parameters, maps = targets
    embedding, told, map_logits = trainee(pictures)
    entropy = nn.functional.binary_cross_entropy_with_logits
    parts = {"presence": entropy(told[:, : len(KINDS)], presence)}
    known = ~parameters.isnan()
    errors = nn.functional.smooth_l1_loss(
        told[:, len(KINDS) :], parameters.nan_to_num(), reduction="none"
    )
    parts["parameters"] = (errors * known).sum() / known.sum().clamp(min=1)
    parts["map"] = 4 * entropy(map_logits, maps)
    silent = presence.sum(1) == 0
    parts["quiet"] = embedding.sum() * 0
    if silent.any() and not silent.all():
        parts["quiet"] = embedding[silent].abs().mean() / embedding[~silent].abs().mean()
    weights = {
        "presence": 1.0,
        "parameters": settings.parameter_weight,
        "map": settings.map_weight,
        "quiet": settings.quiet_weight,
    }
    loss = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
    return loss, {name: float(part.detach()) for name, part in parts.items()}


def train(
    settings: TrainSettings,
    clips: Clips,
    run: Path,
    *,
    device: str = "cpu",
    max_epochs: int | None = None,
) -> Path:
    """Train, or go on training, in a folder of its own; the weights of a seed are always the same."""
    run.mkdir(parents=True, exist_ok=True)
    about = run / "settings.json"
    told = json.loads(json.dumps(asdict(settings)))
    if about.exists() and json.loads(about.read_text()) != told:
        raise SystemExit(f"{run} holds a run of other settings: give another folder.")
    about.write_text(json.dumps(told, indent=2) + "\n")
    targets = Targets(clips, settings)
    torch.manual_seed(settings.seed)
    trainee = Trainee(settings).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        trainee.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = -(-len(clips.levels) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps * settings.n_epochs, pct_start=0.15
    )
    checkpoint, epoch = run / "checkpoint.pt", 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location=device, weights_only=True)
        trainee.load_state_dict(kept["trainee"])
        optimiser.load_state_dict(kept["optimiser"])
        schedule.load_state_dict(kept["schedule"])
        epoch = kept["epoch"]
    quiet = np.flatnonzero([len(rows) == 0 for rows in targets.signals])
    last = settings.n_epochs if max_epochs is None else min(max_epochs, settings.n_epochs)
    while epoch < last:
        began = time.monotonic()
        sums = _train_epoch(settings, clips, targets, quiet, trainee, optimiser, schedule, epoch)
        epoch += 1
        state = {
            "trainee": trainee.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch,
        }
        partial = checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(checkpoint)
        shown = {name: round(value, 4) for name, value in sums.items()}
        line = json.dumps({"epoch": epoch, "seconds": round(time.monotonic() - began)} | shown)
        with (run / "log.jsonl").open("a") as log:
            log.write(line + "\n")
    if epoch == settings.n_epochs:
        save_file(_plain(trainee.network), run / "network.safetensors")
    return run


def _train_epoch(
    settings: TrainSettings,
    clips: Clips,
    targets: Targets,
    quiet: NDArray[np.int64],
    trainee: Trainee,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
) -> dict[str, float]:
    device = next(trainee.parameters()).device
    rng = np.random.default_rng([settings.seed, 4, epoch])
    generator = torch.Generator().manual_seed(settings.seed * 1000 + epoch)
    torch.manual_seed(settings.seed * 1000 + epoch)  # dropout
    trainee.train()
    order = rng.permutation(len(clips.levels))
    sums: dict[str, float] = {}
    n_all, n_frames = clips.levels.shape[0], min(settings.crop_frames, clips.levels.shape[2])
    room = clips.levels.shape[2] - n_frames
    for first in range(0, n_all, settings.batch_size):
        numbers = order[first : first + settings.batch_size]
        starts = rng.integers(room + 1, size=len(numbers))
        other = rng.choice(quiet, len(numbers))
        lengths = np.full(len(numbers), n_frames)
        short = rng.random(len(numbers)) < settings.tiled_share
        lengths[short] = rng.integers(
            min(settings.shortest_frames, n_frames), n_frames + 1, short.sum()
        )
        columns = [s + np.arange(n_frames) % n for s, n in zip(starts, lengths, strict=True)]
        cut = [clips.levels[k][:, c] for k, c in zip(numbers, columns, strict=True)]
        levels = (torch.from_numpy(np.stack(cut)).float() - 255) * STEP_DB
        others = (torch.from_numpy(clips.levels[other, :, :n_frames]).float() - 255) * STEP_DB
        n_reached = torch.from_numpy(clips.n_reached[numbers])
        if settings.unreached:
            lower = torch.from_numpy(rng.integers(60, 129, len(numbers)))
            used = torch.from_numpy(rng.random(len(numbers)) < 0.2)
            n_reached = torch.where(used, torch.minimum(n_reached, lower), n_reached)
        changed, drowned_db = augmented(levels, others, settings, generator)
        pictures = grey_pictures(changed, n_reached)
        told = targets.of(numbers, starts, lengths, n_frames, drowned_db.numpy(), n_reached.numpy())
        batch = [part.to(device) for part in told]
        loss, parts = loss_of(
            trainee, pictures.to(device), (batch[0], batch[1], batch[2]), settings
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trainee.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        for name, part in parts.items():
            sums[name] = sums.get(name, 0.0) + part * len(numbers) / n_all
    return sums


def _plain(network: SmallNetwork) -> dict[str, Tensor]:
    return {
        name: tensor.detach().cpu().float().contiguous().clone()
        for name, tensor in network.state_dict().items()
        if not name.startswith("head.") and not name.endswith("num_batches_tracked")
    }


def load_run(run: Path) -> SmallNetwork:
    """The trained network of a run, without its head."""
    told = json.loads((run / "settings.json").read_text())["network"]
    network = SmallNetwork(NetworkConfig(**told | {"widths": tuple(told["widths"])}))
    network.load_state_dict(load_file(run / "network.safetensors"), strict=False)
    return network.eval()


def embed(networks: list[SmallNetwork], levels: NDArray[np.float32], n_reached: Any) -> Any:
    """Embeddings of clips, side by side."""
    with torch.inference_mode():
        parts = []
        for first in range(0, len(levels), 64):
            chosen = slice(first, first + 64)
            pictures = grey_pictures(
                torch.from_numpy(levels[chosen]), torch.from_numpy(n_reached[chosen])
            )
            parts.append(torch.cat([net.pool(net.maps(pictures)) for net in networks], 1))
    return torch.cat(parts).numpy()


def told_apart(vectors: Any, labels: Any, groups: Any, *, n_folds: int) -> float:
    """Balanced accuracy of the product's head over folds that keep groups whole."""
    labels, groups = labels.astype(str).astype(object), groups.astype(str).astype(object)
    units = np.arange(len(labels)).astype(object)
    data = TrainingSet(vectors.astype(np.float32), labels, groups, units)
    folds = assign_folds(labels, groups, n_folds, np.random.default_rng(0))
    right = np.zeros(len(labels), bool)
    for fold in range(n_folds):
        train_rows, test_rows = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        head = LogisticHead(c=1e-2).fit(data.take(train_rows))
        said = head.log_probabilities(data.vectors[test_rows]).argmax(1)
        right[test_rows] = np.array(head.classes)[said] == labels[test_rows]
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def judge(surveys: list[SurveyClips], networks: list[SmallNetwork] | None) -> dict[str, float]:
    """How well species are told by encounter, and encounters by their background alone.

    The first is to be high (chance 0.167), the second low (chance 0.042). Mean over surveys; without
    networks: mean and deviation of the levels over time.
    """

    def vectors(levels: Any, n_reached: Any) -> Any:
        if networks is None:
            return np.concatenate([levels.mean(2), levels.std(2)], 1)
        return embed(networks, levels, n_reached)

    species, recorder = [], []
    for survey in surveys:
        found = vectors(survey.levels, survey.n_reached)
        species.append(told_apart(found, survey.species, survey.encounter, n_folds=3))
        found = vectors(survey.quiet, survey.n_reached)
        own = np.arange(len(found))
        recorder.append(told_apart(found, survey.encounter, own, n_folds=2))
    scores = {f"survey_{k}": round(value, 3) for k, value in enumerate(species)}
    return {"species": float(np.mean(species)), "recorder": float(np.mean(recorder))} | scores


def judging_surveys(cache: Path, band: str = "16k") -> list[SurveyClips]:
    """The held-out surveys, made once."""
    surveys = []
    for seed in JUDGE_SEEDS:
        settings = SurveySettings(seed=seed, band=band)
        text = json.dumps(asdict(settings), sort_keys=True)
        path = cache / f"survey_{band}_{seed}.npz"
        if path.exists():
            with np.load(path) as kept:
                if str(kept["settings"]) == text:
                    names = [f.name for f in dataclasses.fields(SurveyClips)]
                    surveys.append(SurveyClips(*(kept[name] for name in names)))
                    continue
        made = simulated_survey(settings)
        np.savez(path, settings=np.array(text), **vars(made))
        surveys.append(made)
    return surveys


def export(runs: list[Path], target: Path) -> None:
    """Put the networks of runs side by side in one file of tensors."""
    networks = [load_run(run) for run in runs]
    whole = SideBySide(networks[0].config, len(networks))
    for member, network in zip(whole.members, networks, strict=True):
        member.load_state_dict(_plain(network), strict=False)
    state = {
        name: tensor.contiguous()
        for name, tensor in whole.state_dict().items()
        if not name.startswith("head.") and not name.endswith("num_batches_tracked")
    }
    told = {run.name: json.loads((run / "settings.json").read_text()) for run in runs}
    about = {"licence": "Apache-2.0", "settings": json.dumps(told, sort_keys=True)}
    save_file(state, target, metadata=about)
    target.chmod(0o644)  # as any other file; safetensors writes for its owner alone


def settings_from(pairs: list[str], seed: int, clips: ClipSettings) -> TrainSettings:
    """Settings with some of them given as ``name=value``."""
    known = {f.name: f for f in dataclasses.fields(TrainSettings)}
    network = {f.name for f in dataclasses.fields(NetworkConfig)}
    given: dict[str, Any] = {}
    shape: dict[str, Any] = {"fmax_hz": front_end(clips.band).fmax_hz}
    for pair in pairs:
        name, _, text = pair.partition("=")
        value = json.loads(text)
        if name in network:
            shape[name] = tuple(value) if isinstance(value, list) else value
        elif name in known:
            given[name] = value
        else:
            raise SystemExit(f"no setting {name!r}: choose from {sorted([*known, *network])}.")
    return TrainSettings(seed=seed, clips=clips, network=NetworkConfig(**shape), **given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("simulate", "train", "judge", "export"))
    parser.add_argument("where", type=Path, help="the folder of clips; for export, the file")
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--band", default="16k", choices=("16k", "48k", "96k"))
    parser.add_argument("--recorders", default="drawn", choices=("drawn", "ideal"))
    parser.add_argument("--n-clips", type=int, default=ClipSettings.n_clips)
    parser.add_argument("--n-workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], dest="pairs", metavar="NAME=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clip_settings = ClipSettings(
        n_clips=arguments.n_clips, band=arguments.band, recorders=arguments.recorders
    )
    if arguments.step == "simulate":
        home = simulate(
            clip_settings, arguments.where, n_workers=arguments.n_workers,
            progress=lambda done, n: print(f"{done} of {n} blocks", flush=True),
        )  # fmt: skip
        print(home)
    elif arguments.step == "train":
        settings = settings_from(arguments.pairs, arguments.seed, clip_settings)
        clips = load_clips(arguments.where / clip_settings.key, arguments.n_clips)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        train(settings, clips, arguments.runs[0], device=device)
    elif arguments.step == "judge":
        surveys = judging_surveys(arguments.where, arguments.band)
        print("no network", judge(surveys, None), flush=True)
        config = NetworkConfig(fmax_hz=front_end(arguments.band).fmax_hz)
        torch.manual_seed(0)
        print("random weights", judge(surveys, [SmallNetwork(config).eval()]), flush=True)
        for run in arguments.runs:
            print(run.name, judge(surveys, [load_run(run)]), flush=True)
        if len(arguments.runs) > 1:
            print("side by side", judge(surveys, [load_run(run) for run in arguments.runs]))
    else:
        export(arguments.runs, arguments.where)


if __name__ == "__main__":
    main()
