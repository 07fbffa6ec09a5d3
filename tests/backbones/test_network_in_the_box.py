"""Laws of the network that ships with the package, and of the script that trains it."""

import hashlib
import importlib.util
import json
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from pseudorca import simulation as sim
from pseudorca.backbones import backbone_info, load_backbone, small_network
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.embedder import Embedder, load_embedder, save_embedder
from pseudorca.errors import BackboneError, FrontEndError
from pseudorca.frontends.common import CommonFrontEnd, filter_weights
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

RATE = 32_000
TRAINING = Path(__file__).parents[2] / "training"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    front_end = CommonFrontEnd(**small_network.FRONT_END)
    return Embedder(front_end, load_backbone("pseudorca_small"), device="cpu")


@pytest.fixture(scope="module")
def waveforms() -> list[np.ndarray]:
    """Clips of virtual species, seconds of sea around their signals."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(12):
        recorder = sim.draw_recorder(rng, sample_rate=RATE)
        species = sim.draw_virtual_species(rng)
        wave, _ = sim.simulate_clip(
            rng, species, sim.draw_world(rng), recorder, 3.0, snr_db=20.0, require=["whistle"]
        )
        found.append(wave[0])
    return found


def vectors(embedder: Embedder, waveforms, sample_rate: int = RATE) -> np.ndarray:
    pictures = [embedder.network_input(wave, sample_rate=sample_rate) for wave in waveforms]
    return embedder.embed(pictures)


def nearest(changed: np.ndarray, originals: np.ndarray) -> list[int]:
    """Which original each changed clip is closest to, in units of each number's spread."""
    scale = originals.std(0) + 1e-6
    away = np.abs(changed[:, None] - originals[None]) / scale
    return away.mean(2).argmin(1).tolist()


def test_network_loads_without_a_connection(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    backbone = load_backbone("pseudorca_small")
    assert backbone.licence == backbone_info("pseudorca_small").licence == "Apache-2.0"
    assert "simulated" in backbone.source


def test_shipped_file_is_small_and_the_one_that_the_registry_knows():
    known = backbone_info("pseudorca_small").weights[0]
    assert small_network.WEIGHTS.stat().st_size < 8_000_000
    assert hashlib.sha256(small_network.WEIGHTS.read_bytes()).hexdigest() == known.sha256
    with safe_open(small_network.WEIGHTS, "pt") as file:
        assert file.metadata()["licence"] == "Apache-2.0"
        assert json.loads(file.metadata()["settings"])


def test_damaged_file_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "pseudorca_small.safetensors"
    path.write_bytes(small_network.WEIGHTS.read_bytes()[:-1] + b"\0\0")
    monkeypatch.setattr(small_network, "WEIGHTS", path)
    with pytest.raises(BackboneError, match="damaged"):
        load_backbone("pseudorca_small")


def test_number_of_parameters_is_that_of_the_registry():
    network = load_backbone("pseudorca_small").network
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    assert n_parameters == backbone_info("pseudorca_small").n_parameters <= 2_000_000


def test_embedding_has_the_stated_size_and_is_the_same_twice(embedder, waveforms):
    first, second = vectors(embedder, waveforms), vectors(embedder, waveforms)
    assert first.shape == (len(waveforms), embedder.backbone.embedding_size)
    assert 200 <= embedder.backbone.embedding_size <= 2048
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    alone = np.concatenate([vectors(embedder, [wave]) for wave in waveforms])
    np.testing.assert_allclose(alone, first, rtol=1e-3, atol=1e-4)


def test_windows_of_several_lengths_pass_together(embedder, waveforms):
    mixed = [waveforms[0], waveforms[1][:RATE], waveforms[2], waveforms[3][: RATE // 2]]
    together = vectors(embedder, mixed)
    for wave, expected in zip(mixed, together, strict=True):
        np.testing.assert_allclose(vectors(embedder, [wave])[0], expected, rtol=1e-3, atol=1e-4)


def test_picture_keeps_the_spectrograms_own_resolution(embedder, waveforms):
    picture = embedder.network_input(waveforms[0], sample_rate=RATE)
    drawn = embedder.front_end.picture(waveforms[0], sample_rate=RATE)
    assert picture.shape[0] == small_network.N_ROWS
    np.testing.assert_array_equal(picture, drawn)


@pytest.mark.parametrize("gain", [0.25, 0.5])
def test_gain_does_not_move_a_clip(embedder, waveforms, gain):
    originals = vectors(embedder, waveforms)
    quieter = vectors(embedder, [wave * np.float32(gain) for wave in waveforms])
    away = np.abs(quieter - originals).mean() / originals.std()
    assert away < 0.02


def test_shift_in_time_leaves_a_clip_closest_to_itself(embedder, waveforms):
    originals = vectors(embedder, waveforms)
    shifted = vectors(embedder, [np.roll(wave, RATE // 3) for wave in waveforms])
    assert nearest(shifted, originals) == list(range(len(waveforms)))


def test_embedder_survives_being_saved(embedder, waveforms, tmp_path):
    save_embedder(embedder, tmp_path)
    again = load_embedder(tmp_path, device="cpu")
    assert again.embedder_id == embedder.embedder_id
    assert again.backbone.input_shape == (small_network.N_ROWS, None)
    np.testing.assert_array_equal(vectors(again, waveforms), vectors(embedder, waveforms))


def test_picture_of_another_height_is_refused(embedder):
    with pytest.raises(BackboneError, match="128, any width"):
        embedder.backbone(torch.zeros(1, 3, 64, 100, dtype=torch.uint8))


def test_network_cannot_be_cut():
    with pytest.raises(BackboneError, match="used whole"):
        load_backbone("pseudorca_small", layer="members")


def test_embedding_follows_the_square_root_and_has_a_slope_everywhere():
    network = small_network.SmallNetwork(small_network.NetworkConfig(widths=(4, 4, 8, 8)))
    maps = torch.rand(2, 8, 8, 5)
    maps[0] = 0.0
    maps.requires_grad_()
    pooled = network.pool(maps)
    assert pooled.shape == (2, network.config.embedding_size)
    torch.testing.assert_close(network.pool(4 * maps)[1], 2 * pooled[1], rtol=1e-4, atol=1e-4)
    pooled.sum().backward()
    assert torch.isfinite(maps.grad).all()


def test_low_noise_does_not_decide_what_is_loud():
    """A whistle keeps its level beside a rumble that takes most of the picture's loudest rows."""
    grey = torch.full((2, 1, small_network.N_ROWS, 64), 0.25)
    grey[:, :, 40, 10:30] = 0.75  # at some 6 kHz, 40 dB above the rest
    grey[1, :, -6:] = 0.85  # below 300 Hz
    alone, beside = small_network.whitened(grey)[:, 0, 40, 20]
    assert alone - beside == pytest.approx(0.0, abs=1.0)


def test_what_a_recording_does_not_reach_lies_on_the_floor():
    grey = torch.full((1, 1, small_network.N_ROWS, 64), 0.9)
    grey[:, :, :30] = 0.0
    levels = small_network.whitened(grey)
    np.testing.assert_allclose(levels[:, :, :30], -small_network.FLOOR_DB, atol=1e-3)
    assert levels[:, :, 30:].min() > -small_network.FLOOR_DB
    assert torch.isfinite(small_network.whitened(torch.zeros(1, 1, 128, 16))).all()


@pytest.mark.parametrize("band", ["16k", "48k", "96k"])
def test_rows_stand_for_the_front_ends_own_frequencies(band):
    front_end = CommonFrontEnd.in_band(band, **small_network.FRONT_END)
    _, centres_hz = filter_weights(
        front_end.scale, front_end.n_rows, front_end.fmin_hz, front_end.fmax_hz, 1024,
        front_end.sample_rate,
    )  # fmt: skip
    own = small_network.row_centres_hz(small_network.N_ROWS, front_end.fmax_hz)
    np.testing.assert_allclose(own.flip(0), centres_hz, rtol=1e-3)
    if band == "16k":
        assert small_network.NetworkConfig().fmax_hz == front_end.fmax_hz


def test_range_spread_means_as_many_decibels_in_every_clip():
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    noise = rng.standard_normal(RATE)
    front_end = CommonFrontEnd(**small_network.FRONT_END)
    steps = []
    for amplitude in (0.3, 0.03):
        wave = (amplitude * np.sin(2 * np.pi * 3000 * time) + 1e-3 * noise).astype(np.float32)
        picture = front_end.picture(wave, sample_rate=RATE)[:, :, 0].astype(float)
        steps.append((picture.max() - np.median(picture)) * front_end.range_db / 255)
    assert steps[0] - steps[1] == pytest.approx(20.0, abs=1.0)


def test_range_spread_needs_decibels():
    with pytest.raises(FrontEndError, match="spread"):
        CommonFrontEnd(levels="pcen", spread="range")


@pytest.fixture
def project(tmp_path, waveforms) -> Store:
    import soundfile as sf

    for label, offset in (("Insular", 0), ("Pelagic", 2)):
        folder = tmp_path / "sound" / label / f"Lasker_AC_{offset}"
        folder.mkdir(parents=True)
        for k in range(2):
            wave = waveforms[offset + k] / np.abs(waveforms[offset + k]).max() * 0.9
            sf.write(folder / f"2017071{k}_031200_ch05_sel{k:02d}.wav", wave, RATE)
    store = Store(tmp_path / "project", create=True)
    scan_project(store, tmp_path / "sound", ScanOptions())
    clips_project(store, ClipOptions())
    return store


def test_project_embeds_with_the_settings_that_the_network_asks_for(project):
    told = embed_project(project, EmbedderOptions(backbone="pseudorca_small"))
    assert told.n_new == 4
    assert len(told.problems) == 0
    for key, value in small_network.FRONT_END.items():
        assert told.front_end[key] == value
    told = embed_project(
        project,
        EmbedderOptions(backbone="pseudorca_small", settings=(("spread", "clip"),)),
    )
    assert told.front_end["spread"] == "clip"


def test_project_refuses_a_front_end_that_the_network_does_not_know(project):
    options = EmbedderOptions(backbone="pseudorca_small", front_end="study")
    with pytest.raises(FrontEndError, match="common front end"):
        embed_project(project, options)


def module_of(name: str, folder: Path = TRAINING):
    """Import a script that is not part of the package."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def training():
    """The training script's modules, with a few simulated clips."""
    kept = {name: sys.modules.get(name) for name in ("simulated", "train_network")}
    simulated, train_network = module_of("simulated"), module_of("train_network")
    yield simulated, train_network
    for name, module in kept.items():
        sys.modules.pop(name)
        if module is not None:
            sys.modules[name] = module


@pytest.fixture(scope="module")
def clips(training, tmp_path_factory):
    simulated, _ = training
    settings = simulated.ClipSettings(seed=7, n_clips=24, n_species=4, clip_s=1.0)
    home = simulated.simulate(settings, tmp_path_factory.mktemp("cache"))
    return settings, home


def tiny(training, clip_settings, **changed):
    _, train_network = training
    network = small_network.NetworkConfig(widths=(4, 4, 8, 8))
    return train_network.TrainSettings(
        clips=clip_settings, network=network, n_epochs=2, batch_size=8, crop_frames=64, **changed
    )


def test_simulated_clip_does_not_depend_on_the_others(training, clips):
    simulated, _ = training
    settings, home = clips
    whole = simulated.load_clips(home)
    levels, truth = simulated.simulated_clip(settings, 3)
    assert len(whole.levels) == 24
    np.testing.assert_array_equal(whole.levels[3], levels)
    assert whole.species[3] == truth["species"]
    assert len(whole.signals[3]) == len(truth["signals"])


def test_training_picture_is_the_products_own(training, waveforms):
    simulated, train_network = training
    front_end = simulated.front_end()
    for wave, rate in ((waveforms[0], RATE), (waveforms[1][::2], RATE // 2)):
        levels, n_reached = front_end.levels_db(wave, sample_rate=rate)
        drawn = front_end.picture(wave, sample_rate=rate)[:, :, 0]
        made = train_network.grey_pictures(
            torch.from_numpy(levels[None]), torch.tensor([n_reached])
        )
        made = (made[0, 0] * 255).round().numpy()
        assert np.abs(made - drawn).max() <= 1  # of 255: rounding at the edge of a grey level
        assert (made != drawn).mean() < 1e-3


def test_killed_training_goes_on_to_the_same_weights(training, clips, tmp_path):
    simulated, train_network = training
    settings = tiny(training, clips[0])
    sound = simulated.load_clips(clips[1])
    straight = train_network.train(settings, sound, tmp_path / "straight")
    train_network.train(settings, sound, tmp_path / "broken", max_epochs=1)
    assert not (tmp_path / "broken" / "network.safetensors").exists()
    resumed = train_network.train(settings, sound, tmp_path / "broken")
    first = (straight / "network.safetensors").read_bytes()
    assert first == (resumed / "network.safetensors").read_bytes()
    other = train_network.train(tiny(training, clips[0], seed=2), sound, tmp_path / "other")
    assert first != (other / "network.safetensors").read_bytes()


def test_run_of_other_settings_is_not_gone_on_with(training, clips, tmp_path):
    simulated, train_network = training
    sound = simulated.load_clips(clips[1])
    train_network.train(tiny(training, clips[0]), sound, tmp_path, max_epochs=0)
    with pytest.raises(SystemExit, match="other settings"):
        train_network.train(tiny(training, clips[0], dropout=0.5), sound, tmp_path)


def signals_of(training, *rows):
    """Signals as the cache keeps them: kind, start, end, low, high, snr, then peak and interval."""
    simulated, _ = training
    table = np.ones((len(rows), 6 + len(simulated.PARAMETERS)), np.float32)
    for k, (kind, low_hz, high_hz, snr_db, told) in enumerate(rows):
        table[k, :6] = sim.KINDS.index(kind), 0.2, 0.6, low_hz, high_hz, snr_db
        for name, value in told.items():
            table[k, 6 + simulated.PARAMETERS.index(f"{kind}.{name}")] = value
    return table


def test_signal_stands_out_by_the_cells_that_it_fills(training):
    simulated, _ = training
    click = {"peak_hz": 40_000.0, "interval_s": 0.1}
    buzz = {"peak_hz": 40_000.0, "interval_s": 0.002}
    gain_db = simulated.seen_gain_db(
        signals_of(
            training,
            ("whistle", 6000, 6010, 10, {}),
            ("whistle", 5000, 7000, 10, {}),
            ("click_train", 5000, 15_000, 10, click),
            ("burst_pulse", 5000, 15_000, 10, buzz),
            ("moan", 30, 60, 10, {}),
        ),
        simulated.front_end(),
    )
    flat, sweep, clicks, pulses, below = gain_db
    assert flat < 0 < sweep
    assert -30 < clicks < -20  # some 60 us of a window of 32 ms
    assert clicks < pulses < 0
    assert below == -np.inf


def test_only_what_can_be_seen_is_asked_for(training):
    simulated, train_network = training
    click = {"peak_hz": 40_000.0, "interval_s": 0.1}
    rows = signals_of(
        training,
        ("whistle", 5000, 7000, 20, {}),
        ("whistle", 13_000, 13_500, 20, {}),
        ("click_train", 5000, 15_000, 20, click),
    )
    clips = simulated.Clips(
        np.zeros((1, 128, 100), np.uint8), np.zeros(1, np.int64), np.full(1, 128), [rows]
    )
    whistle, clicks = (sim.KINDS.index(kind) for kind in ("whistle", "click_train"))

    def told(drowned_db, n_reached, **settings):
        targets = train_network.Targets(clips, train_network.TrainSettings(**settings))
        zero, hundred = np.zeros(1, np.int64), np.full(1, 100)
        return targets.of(
            zero, zero, hundred, 100, np.full(1, drowned_db, np.float32), np.full(1, n_reached)
        )

    presence, _, maps = told(0.0, 128, seen_db=3.0)
    assert presence[0, whistle] == 1
    assert presence[0, clicks] == 0
    assert told(60.0, 128)[0][0, clicks] == 1  # everything audible
    assert told(60.0, 128, seen_db=3.0)[0].sum() == 0
    fewer = told(0.0, 100, seen_db=3.0)[2]  # up to some 8 kHz
    assert 0 < fewer[0, whistle].sum() < maps[0, whistle].sum()


def test_network_of_a_wider_band_whitens_its_own_rows(training):
    simulated, train_network = training
    settings = train_network.settings_from([], 1, simulated.ClipSettings(band="96k"))
    assert settings.network.fmax_hz == simulated.front_end("96k").fmax_hz


def test_nearer_species_lies_between_two(training):
    simulated, _ = training
    rng = np.random.default_rng(3)
    first, other = sim.draw_virtual_species(rng), sim.draw_virtual_species(rng)
    for unlikeness, expected in ((0.0, first), (1.0, other)):
        found = simulated.nearer(other, first, unlikeness)
        assert found.rates == first.rates
        for name, trait in found.traits.items():
            assert trait.centre == pytest.approx(expected.traits[name].centre)
            assert trait.spread == other.traits[name].spread


def test_short_recording_is_repeated(training):
    simulated, _ = training
    wave = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(
        simulated.cut_and_tiled(wave, 2, 4), [2, 3, 4, 5, 2, 3, 4, 5, 2, 3]
    )


def test_exported_file_loads_as_the_backbone(training, clips, tmp_path):
    """The tensors' names and shapes are those of the package's own network."""
    simulated, train_network = training
    settings = train_network.TrainSettings(
        clips=clips[0], n_epochs=1, batch_size=12, crop_frames=64
    )
    sound = simulated.load_clips(clips[1])
    run = train_network.train(settings, sound, tmp_path / "run")
    target = tmp_path / "network.safetensors"
    train_network.export([run] * small_network.N_MEMBERS, target)
    backbone = load_backbone("pseudorca_small", weights=target)
    levels = torch.rand(2, 128, 64) * 60
    n_reached = torch.tensor([128, 100])
    pictures = train_network.grey_pictures(levels, n_reached)
    expected = train_network.embed([train_network.load_run(run)], levels.numpy(), n_reached.numpy())
    bytes_ = (pictures * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
    found = backbone(bytes_.contiguous()).numpy()
    np.testing.assert_allclose(found[:, : expected.shape[1]], expected, rtol=1e-3, atol=1e-4)
