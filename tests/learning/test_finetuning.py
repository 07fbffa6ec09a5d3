"""Laws of fine-tuning: what it begins with, what it changes, and that a kill changes nothing."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from numpy.testing import assert_array_equal

from pseudorca.backbones import load_backbone, small_network
from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.network_inputs import ClipInputs
from pseudorca.errors import BackboneError, HeadError, MissingExtraError
from pseudorca.frontends.registry import make_front_end
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import LinearHead, fit_head
from pseudorca.learning.heads.finetuned import Augmentation, FineTunedHead, Material
from pseudorca.learning.heads.finetuned import loop as training
from pseudorca.learning.heads.finetuned.changes import change, draw_changes, quietest
from pseudorca.learning.heads.finetuned.tuned_network import (
    TunedNetwork,
    begun_anew,
    stages_of,
)
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.recordings.folds import Folds, Split

PLAIN = Augmentation(time_shift=0)


def small_embedder():
    front_end = make_front_end("common", settings=small_network.FRONT_END)
    return Embedder(front_end, load_backbone("pseudorca_small"), "cpu")


def draw_pictures(n, widths, rng):
    """Grey noise with a rising or falling line: classes a and b."""
    pictures = []
    for k in range(n):
        width = widths[k % len(widths)]
        picture = rng.integers(20, 60, (128, width), dtype=np.uint8)
        height = np.linspace(90, 60, width) if k % 2 else np.linspace(60, 90, width)
        picture[height.astype(int), np.arange(width)] = 150
        pictures.append(picture[:, :, None])
    return pictures


def keep(arrays, path, *, is_picture):
    """Arrays as a file of network inputs."""
    path.write_bytes(b"".join(one.tobytes() for one in arrays))
    offsets = np.cumsum([0, *(one.nbytes for one in arrays[:-1])])
    shapes = tuple(one.shape for one in arrays)
    return ClipInputs(path, str(arrays[0].dtype), offsets, shapes, is_picture, is_picture)


@pytest.fixture
def make(tmp_path):
    """A material and a training set of n clips, four encounters a class."""

    def made(n=24, widths=(32,), embedder=None, seed=0):
        rng = np.random.default_rng(seed)
        inputs = keep(draw_pictures(n, widths, rng), tmp_path / "inputs.bin", is_picture=True)
        labels = np.array(["ab"[k % 2] for k in range(n)], dtype=object)
        groups = np.array([f"{labels[k]}{k // 2 % 4}" for k in range(n)], dtype=object)
        ids = tuple(f"clip{k}" for k in range(n))
        material = Material(embedder or small_embedder(), inputs, ids, groups, tmp_path / "kept")
        recordings = np.array(ids, dtype=object)
        return material, TrainingSet(material.rows(), labels, groups, recordings)

    return made


def tensors(trained):
    state = {name: t.numpy() for name, t in trained.embedder.backbone.state_dict().items()}
    return state | trained.arrays()


def assert_same(one, other):
    mine, others = tensors(one), tensors(other)
    assert mine.keys() == others.keys()
    for name, values in mine.items():
        assert_array_equal(values, others[name], err_msg=name)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("resnet18", "conv1.weight", "fc.bias"),
        ("mobilenet_v2", "features.0.0.weight", "classifier.1.bias"),
        ("vit_b_16", "class_token", "heads.head.bias"),
        ("swin_t", "features.0.0.weight", "head.bias"),
    ],
)
def test_stages_hold_every_parameter_once_from_input_to_output(name, first, last):
    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None)
    stages = stages_of(network)
    names = [one for stage in stages for one in stage]
    assert sorted(names) == sorted(one for one, _ in network.named_parameters())
    assert names[0] == first
    assert names[-1] == last
    assert len(stages) > 8


def test_stages_of_the_network_in_the_box_are_its_blocks():
    stages = stages_of(load_backbone("pseudorca_small").network)
    assert [len(stage) for stage in stages] == [3] * 6


def test_augmentation_without_any_change_leaves_inputs_as_they_are():
    rng = np.random.default_rng(0)
    rows, groups = np.arange(4), np.array(list("aabb"), dtype=object)
    changes = draw_changes(PLAIN, rows, rows, groups, rng)
    pictures = torch.from_numpy(rng.integers(0, 256, (4, 3, 16, 20), dtype=np.uint8))
    windows = torch.from_numpy(rng.standard_normal((4, 2, 50)).astype(np.float32))
    assert torch.equal(change(pictures, None, None, changes, is_grey=True), pictures)
    assert torch.equal(change(windows, None, None, changes, is_grey=False), windows)


def test_augmentation_of_a_part_of_the_batch_is_that_part_of_the_augmented_batch():
    settings = Augmentation(
        time_shift=1, time_masks=2, frequency_masks=1, band_limit=0.5, background=0.5, gain_db=6,
        mix_up=0.4,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    rows, groups = np.arange(8), np.array(list("aabbccdd"), dtype=object)
    changes = draw_changes(settings, rows, rows, groups, rng)
    pictures = torch.from_numpy(rng.integers(0, 256, (8, 1, 16, 20), dtype=np.uint8))
    pictures = pictures.expand(-1, 3, -1, -1)
    others = pictures[changes.partner], pictures[changes.behind]
    whole = change(pictures, *others, changes, is_grey=True)
    part = slice(1, None, 3)
    alone = change(
        pictures[part], others[0][part], others[1][part], changes.take(part), is_grey=True
    )
    assert torch.equal(whole[part], alone)
    assert not torch.equal(whole, pictures)


def test_augmentation_shifts_within_the_clip_and_masks_what_it_says():
    rng = np.random.default_rng(0)
    rows = np.arange(3)
    groups = np.array(list("abc"), dtype=object)
    pictures = torch.from_numpy(rng.integers(1, 256, (3, 3, 40, 50), dtype=np.uint8))
    shifted = change(
        pictures, None, None,
        draw_changes(Augmentation(time_shift=1), rows, rows, groups, rng), is_grey=True,
    )  # fmt: skip
    assert torch.equal(shifted.sort(3).values, pictures.sort(3).values)
    masks = Augmentation(time_shift=0, time_masks=1, time_mask=0.5, frequency_masks=1)
    changes = draw_changes(masks, rows, rows, groups, rng)
    masked = change(pictures, None, None, changes, is_grey=True)
    for k in range(3):
        silent = (masked[k] == 0).all(0)
        n_frames, n_rows = silent.all(0).sum(), silent.all(1).sum()
        width = np.diff(changes.time_masks[k, 0]).item() * 50
        height = np.diff(changes.frequency_masks[k, 0]).item() * 40
        assert abs(n_frames - width) <= 1
        assert abs(n_rows - height) <= 1
    limited = draw_changes(Augmentation(time_shift=0, band_limit=1), rows, rows, groups, rng)
    cut = change(pictures, None, None, limited, is_grey=True)
    assert (cut[:, :, 0] == 0).all()  # the highest row comes first
    assert (cut[:, :, 20:] == pictures[:, :, 20:]).all()


def test_augmentation_takes_backgrounds_of_other_encounters_and_of_their_quietest_moment():
    rng = np.random.default_rng(0)
    rows, groups = np.arange(40), np.array([f"e{k % 4}" for k in range(40)], dtype=object)
    changes = draw_changes(Augmentation(background=1), rows, rows, groups, rng)
    assert (groups[changes.behind] != groups).all()
    alone = draw_changes(Augmentation(background=1), rows, rows, groups.copy() * 0 + "e", rng)
    assert_array_equal(alone.behind, rows)
    picture = torch.full((1, 3, 8, 60), 200, dtype=torch.uint8)
    picture[..., 20:30] = 10
    assert (quietest(picture) == 10).all()


def test_loss_is_cross_entropy_and_focal_with_no_focus_is_the_same():
    logits, target = torch.randn(9, 3), torch.arange(9) % 3
    targets = torch.nn.functional.one_hot(target, 3).float()
    plain = FineTunedHead(label_smoothing=0.1)
    expected = torch.nn.functional.cross_entropy(
        logits, target, label_smoothing=0.1, reduction="none"
    )
    torch.testing.assert_close(training.loss_per_clip(logits, targets, plain), expected)
    focal = replace(plain, loss="focal", focal_gamma=0.0)
    torch.testing.assert_close(training.loss_per_clip(logits, targets, focal), expected)
    sharp = FineTunedHead(loss="focal")
    unsmoothed = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    assert (training.loss_per_clip(logits, targets, sharp) < unsmoothed).all()


def test_rate_rises_falls_and_ends_at_nothing():
    head = FineTunedHead(warm_up=0.2)
    factors = [training.rate_factor(head, passed) for passed in np.linspace(0, 1, 101)]
    assert factors[0] == 0
    assert factors[20] == max(factors) == 1
    assert factors[-1] == pytest.approx(0)
    assert (np.diff(factors[:21]) > 0).all()
    assert (np.diff(factors[20:]) < 0).all()


def job(make, **settings):
    material, data = make(n=30, widths=(32, 40))
    head = FineTunedHead(**settings)
    labels = (data.labels == "b").astype(np.int64)
    side = training.Side(np.arange(30), labels, np.ones(30))
    return training.Job(
        head, material.inputs, material.groups, 2, side, None, 5, material.folder
    ), labels


def test_batches_hold_every_clip_once_and_one_shape_each(make):
    one, _ = job(make, batch_size=8)
    dealt = training.batches(one, 3)
    assert sorted(np.concatenate(dealt)) == list(range(30))
    assert max(map(len, dealt)) <= 8
    assert all(len({one.inputs.shapes[k] for k in places}) == 1 for places in dealt)
    assert_array_equal(np.concatenate(dealt), np.concatenate(training.batches(one, 3)))
    assert not np.array_equal(np.concatenate(dealt), np.concatenate(training.batches(one, 4)))


def test_sampler_draws_classes_equally_often(make):
    one, _ = job(make, balance="sampler")
    rare = np.array([0] * 27 + [1] * 3)
    one = replace(one, training=replace(one.training, classes=rare))
    drawn = np.concatenate([rare[np.concatenate(training.batches(one, e))] for e in range(60)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.05)


def test_fine_tuning_begins_as_logistic_regression_on_the_frozen_embeddings(make):
    material, data = make()
    head = FineTunedHead(learning_rate=1e-12, n_epochs=1, material=material)
    trained = head.fit(data)
    pictures = [p.repeat(3, 2) for p in draw_pictures(24, (32,), np.random.default_rng(0))]
    frozen = replace(data, vectors=material.embedder.embed(pictures))
    expected = LogisticHead().fit(frozen).log_probabilities(frozen.vectors)
    np.testing.assert_allclose(trained.log_probabilities(data.vectors), expected, atol=1e-4)


def test_only_the_stages_asked_for_learn_and_statistics_stay(make):
    material, data = make()
    head = FineTunedHead(learning_rate=1e-3, n_epochs=2, stages=2, material=material)
    trained = head.fit(data)
    before = material.embedder.backbone.state_dict()
    after = trained.embedder.backbone.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    names = [name for stage in stages_of(material.embedder.backbone.network) for name in stage]
    learned = {f"network.{name}" for name in names[-6:]}
    assert changed == learned
    assert trained.embedder.embedder_id != material.embedder.embedder_id
    assert trained.embedder.backbone.weights_source.endswith("+ fine-tuned")
    learning = replace(head, batch_norm="learn").fit(data)
    means = [name for name in before if name.endswith("running_mean")]
    state = learning.embedder.backbone.state_dict()
    assert all(not torch.equal(before[name], state[name]) for name in means)
    nothing = replace(head, stages="none").fit(data)
    assert nothing.embedder.embedder_id == material.embedder.embedder_id


def test_fine_tuning_lowers_the_loss_of_what_it_learns_from(make):
    material, data = make()
    head = FineTunedHead(
        n_epochs=8, time_shift=0, learning_rate=1e-4, head_start="zero", material=material
    )
    trained = head.fit(data)
    losses = [row["loss"] for row in trained.details["history"]]
    assert losses[-1] < losses[0]
    said = np.array(trained.classes)[trained.log_probabilities(data.vectors).argmax(1)]
    assert (said == data.labels).mean() > 0.9
    _, linear, _ = trained.parted(data.vectors)
    assert_array_equal(
        linear.log_probabilities(trained.vectors(data.vectors)),
        trained.log_probabilities(data.vectors),
    )


EVERYTHING = {
    "n_epochs": 4, "batch_size": 10, "dropout": 0.2, "mix_up": 0.3, "background": 0.5,
    "time_masks": 1, "frequency_masks": 1, "band_limit": 0.2, "batch_norm": "learn",
    "label_smoothing": 0.1, "layer_decay": 0.8,
}  # fmt: skip


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("patience", [0, 3])
def test_a_training_that_was_killed_ends_in_the_same_weights(
    make, tmp_path, monkeypatch, after, patience
):
    material, data = make(widths=(32, 40))
    head = FineTunedHead(patience=patience, **EVERYTHING)
    whole = fit_head(replace(head, material=replace(material, folder=tmp_path / "a")), data)
    head = replace(head, material=replace(material, folder=tmp_path / "b"))
    write, n_written = training._write, 0

    def write_and_die(values, path):
        nonlocal n_written
        write(values, path)
        n_written += 1
        if n_written == after:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(training, "_write", write_and_die)
        with pytest.raises(Killed):
            fit_head(head, data)
    again = fit_head(head, data)
    assert_same(whole, again)
    assert again.details == whole.details
    assert not list(tmp_path.glob("*/*/checkpoint.pt"))


def test_groups_kept_aside_choose_the_epoch_and_all_are_learned_from_at_last(make):
    material, data = make()
    head = FineTunedHead(n_epochs=3, patience=1, material=material)
    trained = fit_head(head, data)
    assert trained.details["n_clips"] == len(data.labels)
    losses = [row["validation_loss"] for row in trained.details["history"]]
    best = trained.details["best_epoch"]
    assert best == 0 or losses[best - 1] == min(losses)
    part = fit_head(replace(head, refit=False), data)
    assert part.details["n_clips"] < len(data.labels)


def folds_of(data):
    fold = np.array([int(group[1:]) // 2 for group in data.groups])[None]
    return Folds(
        clip_ids=np.array([f"clip{k}" for k in range(len(fold[0]))], dtype=object),
        labels=data.labels,
        test_fold=fold,
        validation=np.zeros(len(fold[0]), dtype=bool),
        groups=data.groups,
        units=data.groups,
        split=Split("encounter", n_folds=2, n_repeats=1),
    )


def test_labels_of_the_test_side_are_never_seen(make):
    material, data = make(n=16)
    head = FineTunedHead(n_epochs=2, patience=1, background=1, material=material)
    folds = folds_of(data)
    scores = cross_validate(data, folds, head).log_probabilities[0]
    test = np.flatnonzero(folds.test_fold[0] == 0)
    swapped = data.labels.copy()
    swapped[test] = np.where(data.labels[test] == "a", "b", "a")
    other = cross_validate(
        replace(data, labels=swapped), replace(folds, labels=swapped), head
    ).log_probabilities[0]
    assert_array_equal(scores[test], other[test])


def test_a_network_on_sound_is_trained_from_scratch(tmp_path):
    rng = np.random.default_rng(0)
    backbone = load_backbone("waveform_small")
    window = {"sample_rate": 32_000, "window_s": 1.0, "hop_s": 1.0, "fmax_hz": 15_000.0}
    front_end = make_front_end("samples", settings=window)
    time = np.arange(32_000) / 32_000
    sounds = [
        (np.sin(2 * np.pi * (3000 if k % 2 else 5000) * time) + rng.standard_normal(32_000))
        .astype(np.float32)[None]
        for k in range(8)
    ]  # fmt: skip
    inputs = keep(sounds, tmp_path / "inputs.bin", is_picture=False)
    labels = np.array(["ab"[k % 2] for k in range(8)], dtype=object)
    ids = tuple(f"clip{k}" for k in range(8))
    embedder = Embedder(front_end, backbone, "cpu")
    material = Material(embedder, inputs, ids, np.array(ids, dtype=object), tmp_path / "kept")
    data = TrainingSet(material.rows(), labels, material.groups, material.groups)
    head = make_head(
        "finetuned", start="random", head_start="zero", n_epochs=8, batch_size=4, gain_db=3
    )
    trained = replace(head, material=material).fit(data)
    losses = [row["loss"] for row in trained.details["history"]]
    assert losses[-1] < losses[0]


def test_weights_begun_anew_come_from_the_seed():
    backbone = load_backbone("pseudorca_small")
    hashes = [begun_anew(backbone, seed).weights_hash for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert backbone.weights_hash not in hashes


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": "adam"},
        {"learning_rate": 0},
        {"dropout": 1.0},
        {"time_shift": 2.0},
        {"mix_up": -1.0},
        {"start": "random"},
        {"tuned_share": 0.0},
        {"balance": "class"},
        {"stage": 2},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(HeadError):
        make_head("finetuned", **settings)


def test_more_stages_than_there_are_and_embeddings_are_refused(make):
    material, data = make(n=8)
    with pytest.raises(HeadError, match="has 6"):
        FineTunedHead(stages=7, material=material).fit(data)
    with pytest.raises(HeadError, match="train and evaluate"):
        FineTunedHead().fit(data)
    with pytest.raises(HeadError, match="row numbers"):
        FineTunedHead(material=material).fit(replace(data, vectors=np.zeros((8, 2), np.float32)))


def test_without_lightning_it_says_what_to_install(make, monkeypatch):
    material, data = make(n=8)
    monkeypatch.setitem(sys.modules, "lightning.fabric", None)
    with pytest.raises(MissingExtraError, match=r"pseudorca\[finetune\]"):
        FineTunedHead(material=material).fit(data)


@pytest.mark.parametrize("name", ["logmel", "mfcc"])
def test_what_has_nothing_to_learn_is_refused(name):
    backbone = load_backbone(name)
    ones = np.ones(backbone.embedding_size)
    head = LinearHead(["a", "b"], ones, ones, np.stack([ones, ones]), np.zeros(2))
    with pytest.raises(BackboneError, match="nothing that could learn"):
        TunedNetwork(backbone, head, stages="all", learns_statistics=False)


@pytest.mark.slow
def test_two_processes_end_where_one_does(make, tmp_path):
    material, data = make(n=16)
    head = FineTunedHead(
        n_epochs=2, batch_size=8, mix_up=0.3, dropout=0.1, accelerator="cpu", precision="float32"
    )
    one = replace(head, material=replace(material, folder=tmp_path / "a")).fit(data)
    two = replace(head, devices=2, material=replace(material, folder=tmp_path / "b")).fit(data)
    for name, values in tensors(one).items():
        np.testing.assert_allclose(tensors(two)[name], values, atol=2e-4, err_msg=name)
