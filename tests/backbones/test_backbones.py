import copy
import functools
import json
import pickle
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from pseudorca.backbones import (
    Backbone,
    adapt_batch_norm,
    backbone_from_description,
    backbone_info,
    backbone_names,
    load_backbone,
)
from pseudorca.backbones.registry import find
from pseudorca.backbones.weights import choose_weights
from pseudorca.errors import BackboneError

SHARED = Path(__file__).parents[2].parent / "shared/weights"
RESNET18_TRUNK = SHARED / "resnet18_torchvision_IMAGENET1K_V1_minus_layer4_3x3.safetensors"
MOBILENET_TF = SHARED / "mobilenet_v2_imagenet1001_coral.safetensors"
needs_resnet18 = pytest.mark.skipif(not RESNET18_TRUNK.is_file(), reason=f"no {RESNET18_TRUNK}")
needs_mobilenet = pytest.mark.skipif(not MOBILENET_TF.is_file(), reason=f"no {MOBILENET_TF}")

EMBEDDING_SIZES = {
    "alexnet": 4096,
    "densenet121": 1024,
    "googlenet": 1024,
    "mnasnet0_5": 1280,
    "mobilenet_v2": 1280,
    "resnet18": 512,
    "shufflenet_v2_x0_5": 1024,
    "squeezenet1_0": 512,
}


def pictures(n: int = 2, size: int = 224, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 14, 14, generator=generator) * 255
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").to(torch.uint8)


def build_original(name: str) -> nn.Module:
    arguments = {}
    if name in ("googlenet", "inception_v3"):  # as get_model(weights="IMAGENET1K_V1") builds them
        arguments = {"transform_input": True, "aux_logits": True, "init_weights": False}
    if name.startswith("vgg"):
        arguments = {"init_weights": False}
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, **arguments).eval()


@functools.lru_cache(maxsize=4)  # all of them take gigabytes
def original(name: str) -> nn.Module:
    """A random network whose batch statistics are those of its activations, as if trained."""
    network = build_original(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.normal_(module.bias, std=0.1)
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        with torch.no_grad():
            network.train()(pictures(4, seed=1).float() / 128 - 1)
    return network.eval()


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")

    def save(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            save_file(original(name).state_dict(), path)
        return path

    return save


@pytest.fixture
def resnet18(weights_file) -> Backbone:
    return load_backbone("resnet18", weights=weights_file("resnet18"))


def input_of_last_layer(network: nn.Module, normalised: Tensor) -> Tensor:
    """What reaches the layer with 1000 outputs: a slow reference, by a hook on the original."""
    seen = []
    last = [
        module
        for module in network.modules()
        if getattr(module, "out_features", getattr(module, "out_channels", None)) == 1000
    ][-1]
    handle = last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(normalised)
    handle.remove()
    return seen[0].mean((2, 3)) if seen[0].ndim == 4 else seen[0]


def output_of(network: nn.Module, layer: str, normalised: Tensor) -> Tensor:
    seen = []
    hook = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    with torch.no_grad():
        network(normalised)
    hook.remove()
    return seen[0]


# Embeddings


@pytest.mark.parametrize("name", EMBEDDING_SIZES)
def test_embedding_is_the_input_of_the_original_last_layer(name, weights_file):
    backbone = load_backbone(name, weights=weights_file(name))
    batch = pictures()
    embedding = backbone(batch)
    assert embedding.shape == (2, EMBEDDING_SIZES[name]) == (2, backbone.embedding_size)
    assert embedding.dtype == torch.float32
    assert not torch.allclose(embedding[0], embedding[1])
    expected = input_of_last_layer(original(name), backbone.normalise(batch))
    torch.testing.assert_close(embedding, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_v2_l"])
def test_normalise_equals_torchvisions_transform(name, resnet18):
    preset = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms
    known = backbone_info(name).weights[0]
    size = 32
    about = resnet18.description() | {"mean": known.mean, "std": known.std, "input_size": size}
    batch = pictures(size=size)
    expected = preset(crop_size=size, resize_size=size)(batch)
    assert torch.equal(Backbone(nn.Linear(1, 1), about).normalise(batch), expected)


def test_embedding_of_a_picture_does_not_depend_on_its_batch(resnet18):
    batch = pictures(5)
    alone = torch.cat([resnet18(picture[None]) for picture in batch])
    torch.testing.assert_close(resnet18(batch), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "kept", "axes"),
    [
        ("resnet18", "layer3", ["conv1", "bn1", "layer1", "layer2", "layer3"], (2, 3)),
        ("resnet18", "layer2.0", ["conv1", "bn1", "layer1", "layer2.0"], (2, 3)),
        ("googlenet", "inception3a", ["conv1", "conv2", "conv3", "inception3a"], (2, 3)),
        ("mnasnet0_5", "layers.8", [f"layers.{n}" for n in range(9)], (2, 3)),
        ("swin_t", "features.1", ["features.0", "features.1"], (1, 2)),
        (
            "vit_b_32",
            "encoder.layers.encoder_layer_0",
            ["conv_proj", "class_token", "encoder.pos_embedding", "encoder.layers.encoder_layer_0"],
            (1,),
        ),
    ],
)
def test_layer_is_averaged_and_needs_only_the_tensors_before_it(name, layer, kept, axes, tmp_path):
    network = original(name)
    tensors = network.state_dict()
    kept = {n: t for n, t in tensors.items() if f"{n}.".startswith(tuple(f"{k}." for k in kept))}
    save_file(kept, tmp_path / "trunk.safetensors")
    backbone = load_backbone(name, weights=tmp_path / "trunk.safetensors", layer=layer)
    batch = pictures()
    expected = output_of(network, layer, backbone.normalise(batch)).mean(axes)
    torch.testing.assert_close(backbone(batch), expected, rtol=1e-5, atol=1e-6)
    assert backbone.embedding_size == expected.shape[1]
    assert set(backbone.network.state_dict()) == set(kept)
    del kept[next(n for n in kept if layer in n and n.endswith("weight"))]
    save_file(kept, tmp_path / "trunk.safetensors")
    with pytest.raises(BackboneError, match=rf"up to {layer}: 1 missing \("):
        load_backbone(name, weights=tmp_path / "trunk.safetensors", layer=layer)


def test_gradients_reach_the_picture(resnet18):
    normalised = resnet18.normalise(pictures(1)).requires_grad_()
    resnet18.embed(normalised).sum().backward()
    assert normalised.grad is not None
    assert normalised.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in resnet18.parameters())


@pytest.mark.parametrize(
    "wrong",
    [pictures().float(), pictures(size=32), pictures()[0], pictures()[:, :1]],
    ids=["float", "size", "single", "grey"],
)
def test_pictures_of_another_kind_are_refused(wrong, resnet18):
    with pytest.raises(BackboneError, match=r"takes uint8 pictures of shape .*224.*, got"):
        resnet18(wrong)


def test_every_tensor_follows_the_network_to_another_device(weights_file):
    for layer in (None, "features.3"):
        backbone = load_backbone("mobilenet_v2", weights=weights_file("mobilenet_v2"), layer=layer)
        # There is no GPU to test on, but any tensor left behind fails on this device too.
        assert backbone.to("meta")(pictures().to("meta")).device.type == "meta"


# Frozen


def test_training_mode_changes_nothing(resnet18):
    batch = pictures()
    before = resnet18(batch)
    resnet18.train()
    assert not any(module.training for module in resnet18.modules())
    assert torch.equal(resnet18(batch), before)
    assert not any(parameter.requires_grad for parameter in resnet18.parameters())


@pytest.mark.parametrize("layer", [None, "layer2"])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_copies_are_frozen_and_embed_alike(duplicate, layer, weights_file):
    backbone = load_backbone("resnet18", weights=weights_file("resnet18"), layer=layer)
    twin = duplicate(backbone)
    batch = pictures()
    assert torch.equal(twin(batch), backbone(batch))
    assert twin.description() == backbone.description()
    assert not any(m.training for m in twin.modules() if isinstance(m, nn.BatchNorm2d))


def test_loading_uses_up_no_random_numbers(weights_file):
    path = weights_file("resnet18")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_backbone("resnet18", weights=path, layer="layer1")
    assert torch.equal(torch.get_rng_state(), before)


# Weights


def test_same_weights_have_one_hash_in_every_wrapping(tmp_path, weights_file):
    expected = load_backbone("shufflenet_v2_x0_5", weights=weights_file("shufflenet_v2_x0_5"))
    tensors = original("shufflenet_v2_x0_5").state_dict()
    few_classes = {n: t[:7] if n.startswith("fc.") else t for n, t in tensors.items()}
    no_counters = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    wrappings = {
        "plain.pt": tensors,
        "nested.pth": {"state_dict": tensors, "epoch": 3},
        "parallel.pth": {"model": {f"module.{n}": t for n, t in tensors.items()}},
        "few_classes.pt": few_classes,
        "headless.pt": {n: t for n, t in tensors.items() if not n.startswith("fc.")},
        "no_counters.pth": no_counters,
        "double.pt": {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()},
    }
    for file, content in wrappings.items():
        torch.save(content, tmp_path / file)
        backbone = load_backbone("shufflenet_v2_x0_5", weights=str(tmp_path / file))
        assert backbone.weights_hash == expected.weights_hash, file
        assert backbone.weights_source == file
    changed = {n: t + (n == "conv5.0.weight") for n, t in tensors.items()}
    torch.save(changed, tmp_path / "changed.pt")
    other = load_backbone("shufflenet_v2_x0_5", weights=tmp_path / "changed.pt")
    assert other.weights_hash != expected.weights_hash


def test_googlenet_loads_with_and_without_auxiliary_heads(tmp_path, weights_file):
    tensors = original("googlenet").state_dict()
    assert any(name.startswith("aux1.") for name in tensors)
    without = {n: t for n, t in tensors.items() if not n.startswith("aux")}
    save_file(without, tmp_path / "without.safetensors")
    backbone = load_backbone("googlenet", weights=tmp_path / "without.safetensors")
    assert not any("aux" in name for name in backbone.state_dict())
    full = load_backbone("googlenet", weights=weights_file("googlenet"))
    assert full.weights_hash == backbone.weights_hash
    assert backbone.network.transform_input


def test_densenet_loads_under_the_names_of_the_official_download(tmp_path, weights_file):
    old = {}
    for name, tensor in original("densenet121").state_dict().items():
        for part in ("norm", "conv"):
            for n in "12":
                if "denselayer" in name:
                    name = name.replace(f".{part}{n}.", f".{part}.{n}.")
        old[name] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    backbone = load_backbone("densenet121", weights=tmp_path / "old.pth")
    expected = load_backbone("densenet121", weights=weights_file("densenet121"))
    assert backbone.weights_hash == expected.weights_hash


def test_faulty_weights_are_named_with_their_shapes(tmp_path):
    good = {n: t for n, t in original("resnet18").state_dict().items() if n[:3] != "fc."}
    faults = {
        r"1 missing \(conv1.weight\)": {n: t for n, t in good.items() if n != "conv1.weight"},
        r"1 of another shape \(conv1.weight: got \[64, 1, 7, 7\], expected \[64, 3, 7, 7\]\)": {
            **good,
            "conv1.weight": good["conv1.weight"][:, :1].clone(),
        },
        r"1 unknown \(layer5.weight\)": {**good, "layer5.weight": torch.ones(2)},
        r"1 not finite \(bn1.bias\)": {**good, "bn1.bias": good["bn1.bias"] * torch.nan},
    }
    for message, tensors in faults.items():
        save_file(tensors, tmp_path / "faulty.safetensors")
        with pytest.raises(
            BackboneError, match=f"faulty.safetensors does not fit resnet18: {message}"
        ):
            load_backbone("resnet18", weights=tmp_path / "faulty.safetensors")


def test_unusable_files_are_refused(tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not tensors")
    with pytest.raises(BackboneError, match=r"damaged.safetensors cannot be read as plain tensors"):
        load_backbone("resnet18", weights=damaged)
    (tmp_path / "damaged.pt").write_bytes(b"not a pickle either")
    with pytest.raises(BackboneError, match=r"damaged.pt cannot be read as plain tensors"):
        load_backbone("resnet18", weights=tmp_path / "damaged.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")  # a pickled object could run any code
    with pytest.raises(BackboneError, match=r"whole.pt cannot be read as plain tensors"):
        load_backbone("resnet18", weights=tmp_path / "whole.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(BackboneError, match=r"empty.pt holds no tensors"):
        load_backbone("resnet18", weights=tmp_path / "empty.pt")
    with pytest.raises(BackboneError, match=r"no such weights file: .*none.pt"):
        load_backbone("resnet18", weights=tmp_path / "none.pt")


def test_unknown_names_are_told_the_closest(weights_file):
    with pytest.raises(BackboneError, match=r"unknown backbone 'resnet81'. Did you mean 'resn"):
        load_backbone("resnet81")
    with pytest.raises(BackboneError, match="listed by: pseudorca backbones") as told:
        load_backbone("nothing like it")
    assert len(str(told.value)) < 120
    with pytest.raises(BackboneError, match=r"Did you mean 'IMAGENET1K_V2'.*IMAGENET1K_V1"):
        load_backbone("resnet50", weights="IMAGENET1K_V3")
    path = weights_file("resnet18")
    for layer in ("layer33", "fc", "x"):  # the last layer and the input are no layers to cut after
        with pytest.raises(BackboneError, match=rf"unknown layer of resnet18 '{layer}'.*layer1.0"):
            load_backbone("resnet18", weights=path, layer=layer)


def test_layer_without_one_value_per_channel_is_refused(weights_file):
    with pytest.raises(BackboneError, match=r"'stage2.1.chunk' of shufflenet.*gives tuple"):
        load_backbone(
            "shufflenet_v2_x0_5", weights=weights_file("shufflenet_v2_x0_5"), layer="stage2.1.chunk"
        )


# Downloads


@pytest.fixture
def cache(tmp_path) -> Iterator[Path]:
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def test_download_has_the_hash_of_the_same_file(cache, monkeypatch, tmp_path, weights_file):
    asked = []

    def download(url, destination, hash_prefix=None, progress=True):
        asked.append((url, hash_prefix))
        torch.save(original("resnet18").state_dict(), destination)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    backbone = load_backbone("resnet18")
    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd")]
    assert backbone.weights_source == "IMAGENET1K_V1"
    assert backbone.licence == "BSD-3-Clause"
    local = load_backbone("resnet18", weights=weights_file("resnet18"))
    assert local.weights_hash == backbone.weights_hash
    assert local.licence == "unknown (local weights file)"
    # Now the file lies in the cache, and its content is not what its name says.
    with pytest.raises(BackboneError, match=r"is damaged: its SHA-256 begins .* expected f37072fd"):
        load_backbone("resnet18", weights="IMAGENET1K_V1")


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        RuntimeError('invalid hash value (expected "f37072fd", got "00000000")'),
    ],
)
def test_failed_download_tells_what_to_do(failure, cache, monkeypatch):
    def download(*args, **kwargs):
        raise failure

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(BackboneError) as caught:
        load_backbone("resnet18")
    message = str(caught.value)
    for told in (
        "ResNet18_Weights.IMAGENET1K_V1",
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "--weights FILE",
        str(cache / "resnet18-f37072fd.pth"),
        str(failure),
    ):
        assert told in message
    assert "\n" not in message
    assert caught.value.__suppress_context__


def test_local_file_with_an_official_name_is_taken_for_it(tmp_path):
    swag = tmp_path / "regnet_y_16gf_swag-43afe44d.pth"
    tensors = original("regnet_y_400mf").state_dict()  # a stand-in: only what is known of it counts
    torch.save({n: t for n, t in tensors.items() if n.startswith("stem.")}, swag)
    with pytest.raises(BackboneError, match=r"does not fit regnet_y_16gf"):
        load_backbone("regnet_y_16gf", weights=swag)
    spec = find("regnet_y_16gf")
    known, path = choose_weights(spec.info, swag, spec.local)
    assert (known.name, known.input_size, path) == ("IMAGENET1K_SWAG_E2E_V1", 384, swag)


# Registry


PICTURE_NETWORKS = [name for name in backbone_names() if backbone_info(name).input_size]
TORCHVISION = [name for name in backbone_names() if backbone_info(name).family == "torchvision"]


def test_registry_holds_every_torchvision_classification_network():
    assert set(TORCHVISION) == set(torchvision.models.list_models(module=torchvision.models))
    assert set(PICTURE_NETWORKS) == {*TORCHVISION, "mobilenet_v2_tf", "pseudorca_small"}


@pytest.mark.parametrize("name", backbone_names())
def test_info_is_known_before_building(name):
    info = backbone_info(name)
    assert info.name == name
    assert info.licence
    assert info.source
    names = [known.name for known in info.weights]
    assert "IMAGENET1K_V1" not in names[1:]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_weights_are_known_before_building(name):
    info = backbone_info(name)
    assert info.n_parameters > 2e5
    for known in info.weights:
        assert known.url.startswith("https://download.pytorch.org/models/")
        assert known.url.endswith(f"-{known.sha256}.pth")
        assert len(known.sha256) >= 8
        swag = "SWAG" in known.name
        assert known.licence.startswith("CC-BY-NC-4.0" if swag else "BSD-3-Clause")


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 224), ("efficientnet_v2_s", 384), ("inception_v3", 299), ("vit_h_14", 518)],
)
def test_input_size_is_that_of_the_default_weights(name, size):
    assert backbone_info(name).input_size == size


# Saving


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", None), ("resnet18", "layer3"), ("googlenet", None), ("mnasnet0_5", None)],
)
def test_description_and_tensors_rebuild_the_backbone(name, layer, tmp_path, weights_file):
    backbone = load_backbone(name, weights=weights_file(name), layer=layer)
    save_file(backbone.state_dict(), tmp_path / "saved.safetensors")
    description = json.loads(json.dumps(backbone.description()))
    rebuilt = backbone_from_description(description, load_file(tmp_path / "saved.safetensors"))
    batch = pictures()
    assert torch.equal(rebuilt(batch), backbone(batch))
    assert rebuilt.description() == description == backbone.description()
    assert not any(parameter.requires_grad for parameter in rebuilt.parameters())
    rebuilt.load_state_dict(backbone.state_dict(), strict=True)


def test_rebuilding_refuses_other_tensors_than_described(resnet18):
    tensors = resnet18.state_dict()
    description = resnet18.description()
    changed = {**tensors, "network.bn1.bias": tensors["network.bn1.bias"] + 1}
    with pytest.raises(BackboneError, match=r"are not those described: SHA-256"):
        backbone_from_description(description, changed)
    del changed["network.bn1.bias"]
    with pytest.raises(BackboneError, match=r"1 missing \(network.bn1.bias\)"):
        backbone_from_description(description, changed)
    with pytest.raises(BackboneError, match=r"1 unknown \(extra\)"):
        backbone_from_description(description, {**tensors, "extra": torch.ones(1)})
    del description["layer"]
    with pytest.raises(BackboneError, match=r"no entry 'layer'"):
        backbone_from_description(description, tensors)


# Adaptation


def test_adaptation_recomputes_the_statistics_and_leaves_the_original(resnet18):
    batch = pictures(6, seed=2)
    before, hash_before = resnet18(batch), resnet18.weights_hash
    adapted = adapt_batch_norm(resnet18, iter([batch[:4], batch[4:]]))
    assert resnet18.weights_hash == hash_before != adapted.weights_hash
    assert torch.equal(resnet18(batch), before)
    assert not torch.allclose(adapted(batch), before)
    assert not any(module.training for module in adapted.modules())
    with torch.no_grad():
        reaching = resnet18.network.conv1(resnet18.normalise(batch))
    mean = adapted.network.bn1.running_mean
    torch.testing.assert_close(mean, reaching.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert [m.momentum for m in adapted.modules() if isinstance(m, nn.BatchNorm2d)] == [
        m.momentum for m in resnet18.modules() if isinstance(m, nn.BatchNorm2d)
    ]
    rebuilt = backbone_from_description(adapted.description(), adapted.state_dict())
    assert torch.equal(rebuilt(batch), adapted(batch))
    assert "adapted" in rebuilt.weights_source


def test_adaptation_of_a_cut_network_equals_that_of_the_whole(weights_file):
    path = weights_file("resnet18")
    batch = pictures(4)
    whole = adapt_batch_norm(load_backbone("resnet18", weights=path), [batch])
    cut = adapt_batch_norm(load_backbone("resnet18", weights=path, layer="layer2"), [batch])
    expected = output_of(whole.network, "layer2", whole.normalise(batch)).mean((2, 3))
    torch.testing.assert_close(cut(batch), expected)


def test_adaptation_needs_batch_norm_and_pictures(resnet18, weights_file):
    with pytest.raises(BackboneError, match="there are no pictures"):
        adapt_batch_norm(resnet18, [])
    squeezenet = load_backbone("squeezenet1_0", weights=weights_file("squeezenet1_0"))
    with pytest.raises(BackboneError, match="squeezenet1_0 has no batch normalisation"):
        adapt_batch_norm(squeezenet, [pictures()])


# Real weights


@needs_resnet18
def test_real_resnet18_works_up_to_layer3_only():
    backbone = load_backbone("resnet18", weights=RESNET18_TRUNK, layer="layer3")
    embedding = backbone(pictures())
    assert embedding.shape == (2, 256)
    assert embedding.isfinite().all()
    with pytest.raises(BackboneError, match=r"4 missing \(layer4.0.conv1.weight; layer4.0.conv2"):
        load_backbone("resnet18", weights=RESNET18_TRUNK)


def test_mobilenet_v2_tf_has_no_official_download():
    with pytest.raises(BackboneError, match=r"no official download.*--weights FILE.*Coral"):
        load_backbone("mobilenet_v2_tf")


@needs_mobilenet
def test_real_mobilenet_v2_tf_recognises_a_palace():
    backbone = load_backbone("mobilenet_v2_tf", weights=MOBILENET_TF)
    photo = torch.tensor(load_sample_image("china.jpg")).permute(2, 0, 1)
    centre = photo[None, :, :, 106:533].float()
    resized = nn.functional.interpolate(centre, size=(224, 224), mode="bilinear", antialias=True)
    embedding = backbone(resized.round().clamp(0, 255).to(torch.uint8))
    assert embedding.shape == (1, 1280)
    tensors = load_file(MOBILENET_TF)
    logits = embedding @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]
    categories = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    assert ["background", *categories][int(logits.argmax())] == "palace"


@needs_mobilenet
def test_mobilenet_v2_tf_refuses_to_adapt_statistics_that_were_folded_away():
    backbone = load_backbone("mobilenet_v2_tf", weights=MOBILENET_TF)
    with pytest.raises(BackboneError, match="folded into the convolutions"):
        adapt_batch_norm(backbone, [pictures()])


def test_mobilenet_v2_tf_pads_like_tensorflow(tmp_path):
    network = torchvision.models.mobilenet_v2(num_classes=1001).eval()
    save_file(network.state_dict(), tmp_path / "tf.safetensors")
    backbone = load_backbone("mobilenet_v2_tf", weights=tmp_path / "tf.safetensors")
    scaled = backbone.normalise(pictures(1))
    torch.testing.assert_close(scaled, pictures(1) / 127.5 - 1, rtol=1e-5, atol=1e-6)
    strided = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(strided) == 5
    first = network.features[0][0].weight.detach().double().numpy()
    padded = np.zeros((3, 225, 225))
    padded[:, :224, :224] = scaled[0].double().numpy()
    with torch.no_grad():
        produced = strided[0](scaled)[0]
    assert produced.shape == (32, 112, 112)
    for row, column in [(0, 0), (0, 111), (57, 3), (111, 111)]:
        window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected = (first * window).sum((1, 2, 3))
        np.testing.assert_allclose(produced[:, row, column], expected, rtol=1e-4, atol=1e-5)
    for conv in (m for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)):
        conv.padding = (0, 0)
        conv.register_forward_pre_hook(lambda _, x: nn.functional.pad(x[0], (0, 1, 0, 1)))
    with torch.no_grad():
        reference = network.features(scaled).mean((2, 3))
    torch.testing.assert_close(backbone(pictures(1)), reference)


# Every network

MANY = 100_000_000


def operations(name: str) -> float:
    """Multiply-adds of one picture, in thousands of millions."""
    return next(iter(torchvision.models.get_model_weights(name))).meta["_ops"]


@pytest.fixture
def fast_when_faint() -> Iterator[None]:
    """Untrained deep networks fade to numbers that are slow unless they are taken as zero."""
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


@pytest.mark.slow
@pytest.mark.usefixtures("fast_when_faint")
@pytest.mark.parametrize(
    "name",  # the others have tests of their own
    [n for n in TORCHVISION if backbone_info(n).n_parameters <= MANY or n == "vgg16"],
)
def test_every_network_loads_a_local_file_and_embeds(name, tmp_path):
    path = tmp_path / "weights.safetensors"
    network = build_original(name)
    tensors = network.state_dict()
    if name.startswith("vit_"):  # as the official files name them
        tensors = {
            n.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): t
            for n, t in tensors.items()
        }
    save_file(tensors, path)
    backbone = load_backbone(name, weights=path)
    path.unlink()
    assert backbone.input_size == backbone_info(name).input_size
    batch = pictures(1, backbone.input_size)
    embedding = backbone(batch)
    assert embedding.shape == (1, backbone.embedding_size)
    assert embedding.isfinite().all()
    if operations(name) < 5 or name == "vgg16":  # the others are larger sizes of the same
        expected = input_of_last_layer(network, backbone.normalise(batch))
        scale = float(expected.abs().max())
        assert scale > 0
        torch.testing.assert_close(embedding, expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.slow
def test_constants_of_tracing_are_no_weights(tmp_path):
    save_file(build_original("maxvit_t").state_dict(), tmp_path / "weights.safetensors")
    backbone = load_backbone("maxvit_t", weights=tmp_path / "weights.safetensors", layer="blocks.0")
    tensors = backbone.state_dict()
    weights = {n: t for n, t in tensors.items() if "_tensor_constant" not in n}
    assert len(weights) < len(tensors)
    rebuilt = backbone_from_description(backbone.description(), weights)
    assert torch.equal(rebuilt(pictures()), backbone(pictures()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in TORCHVISION if backbone_info(name).n_parameters > MANY]
)
def test_giant_network_is_built_and_embeds_in_shape_only(name):
    """Networks of over 100 million parameters, on tensors without memory: shapes, not values."""
    info = backbone_info(name)
    spec = find(name)
    network, head = spec.skeleton(info.input_size)
    assert isinstance(network.get_submodule(head), nn.Identity)
    axes, embedding_size = spec.probe(network, info.input_size, None)
    assert axes == []
    assert embedding_size >= 768
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    n_in_head = embedding_size * 1000 + 1000
    assert n_parameters + n_in_head == info.n_parameters
