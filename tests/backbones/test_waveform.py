"""Laws of the network on the waveform: an honest beginning, shapes, gradients, saving."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pseudorca.backbones import UNTRAINED, backbone_from_description, backbone_info, load_backbone
from pseudorca.backbones.waveform import (
    N_SAMPLES,
    RATE,
    WaveformNetwork,
    mel_filters,
    untrained,
)
from pseudorca.embedding.embedder import Embedder, load_embedder, save_embedder
from pseudorca.errors import BackboneError
from pseudorca.frontends.registry import make_front_end


def tone(hz: float, n: int = N_SAMPLES) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(n) / RATE).astype(np.float32)


def windows(*sounds: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(sounds))


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("waveform_small")


def test_the_beginning_is_the_same_everywhere_and_leaves_the_generator_alone(backbone):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again = load_backbone("waveform_small")
    assert torch.equal(torch.rand(1), expected)
    assert again.weights_hash == backbone.weights_hash
    assert backbone.weights_source == UNTRAINED
    assert untrained(seed=1).filters.weight.equal(untrained().filters.weight)
    assert not untrained(seed=1).trunk[0][0].weight.equal(untrained().trunk[0][0].weight)


def test_what_is_known_before_building_is_true(backbone):
    info = backbone_info("waveform_small")
    assert info.n_parameters == sum(p.numel() for p in backbone.network.parameters())
    assert info.embedding_size == backbone.embedding_size
    assert backbone(torch.zeros(2, 3, N_SAMPLES)).shape == (2, info.embedding_size)
    assert "not trained" in info.source


def test_the_filters_pass_their_own_band():
    filters = mel_filters(64, 256).astype(np.float64)
    response = np.abs(np.fft.rfft(filters, 8192, axis=1))
    peaks = response.argmax(axis=1) * RATE / 8192
    mel = 2595 * np.log10(1 + np.array([100.0, 15_000.0]) / 700)
    centres = 700 * (10 ** (np.linspace(*mel, 66)[1:-1] / 2595) - 1)
    high = centres > 500  # below, a filter of 8 ms is as wide as its centre is high
    np.testing.assert_allclose(peaks[high], centres[high], atol=20)
    np.testing.assert_allclose(response.max(axis=1)[high], 1.0, atol=0.05)


def test_a_tone_is_loudest_in_its_band_and_loudness_is_no_cue(backbone):
    network = backbone.network
    with torch.no_grad():
        low, high = network.bands(windows(tone(1_000.0), tone(8_000.0))).mean(2)
        quiet = network.bands(windows(0.001 * tone(1_000.0) + 0.5)).mean(2)[0]
    assert low.argmax() < high.argmax()
    torch.testing.assert_close(quiet, low, atol=1e-3, rtol=1e-3)


def test_a_clip_does_not_depend_on_its_neighbours(backbone):
    rng = np.random.default_rng(0)
    some = torch.from_numpy(rng.standard_normal((3, 2, N_SAMPLES)).astype(np.float32))
    together = backbone(some)
    alone = torch.cat([backbone(one[None]) for one in some])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_gradients_reach_the_filters_and_the_sound():
    backbone = load_backbone("waveform_small")
    assert not any(p.requires_grad for p in backbone.parameters())
    backbone.requires_grad_(True)
    sound = windows(tone(3_000.0)).unsqueeze(1).requires_grad_(True)
    backbone.embed(backbone.normalise(sound)).square().sum().backward()
    for name, parameter in backbone.network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert sound.grad.abs().max() > 0


def test_it_can_be_trained_to_tell_tones_apart():
    torch.manual_seed(0)
    network = untrained().train()
    head = torch.nn.Linear(384, 2)
    rng = np.random.default_rng(0)
    hz = np.r_[rng.uniform(1_000, 2_000, 12), rng.uniform(6_000, 9_000, 12)]
    sounds = windows(*(tone(f, 4_000) for f in hz)) + 0.3 * torch.randn(24, 4_000)
    labels = torch.tensor([0] * 12 + [1] * 12)
    optimiser = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=5e-4)
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(head(network(sounds)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.3
    in_training = network(sounds)
    assert torch.equal(network.eval()(sounds), in_training)


def test_it_is_saved_and_rebuilt(backbone, tmp_path):
    description = json.loads(json.dumps(backbone.description()))
    again = backbone_from_description(description, copy.deepcopy(backbone.state_dict()))
    sound = windows(tone(3_000.0)).unsqueeze(1)
    assert torch.equal(again(sound), backbone(sound))
    info = backbone_info("waveform_small")
    front_end = make_front_end(info.front_end, settings=info.front_end_settings)
    embedder = Embedder(front_end, backbone, "cpu")
    save_embedder(embedder, tmp_path)
    loaded = load_embedder(tmp_path, device="cpu")
    clip = tone(5_000.0, round(2.3 * RATE))
    found = [one.vectors([clip], sample_rate=RATE) for one in (embedder, loaded)]
    np.testing.assert_array_equal(*found)


def test_trained_weights_come_from_a_file_and_are_told_apart(backbone, tmp_path):
    trained = WaveformNetwork()
    save_file(trained.state_dict(), tmp_path / "mine.safetensors")
    loaded = load_backbone("waveform_small", weights=tmp_path / "mine.safetensors")
    assert loaded.weights_source == "mine.safetensors"
    assert loaded.weights_hash != backbone.weights_hash
    with pytest.raises(BackboneError, match="used whole"):
        load_backbone("waveform_small", layer="trunk")
