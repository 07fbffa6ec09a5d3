"""Laws of embedders side by side: each member as it is alone, one id, saved and loaded whole."""

import numpy as np
import pytest

from pseudorca.backbones import load_backbone
from pseudorca.embedding.embed import EmbedderOptions, _of_each
from pseudorca.embedding.embedder import (
    Embedder,
    JointEmbedder,
    load_embedder,
    load_embedders,
    save_embedders,
)
from pseudorca.errors import BackboneError
from pseudorca.frontends.classic import ClassicFrontEnd
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.store import Store

RATE = 32_000


def classic(name: str) -> Embedder:
    return Embedder(ClassicFrontEnd.in_band("16k", features=name), load_backbone(name), "cpu")


@pytest.fixture(scope="module")
def joint() -> JointEmbedder:
    return JointEmbedder((classic("logmel"), classic("mean_spectrum")))


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) for n in (RATE, 3 * RATE)]


def test_vectors_are_those_of_the_members_one_after_the_other(joint, sounds):
    together = joint.vectors(sounds, sample_rate=RATE)
    alone = [member.vectors(sounds, sample_rate=RATE) for member in joint.members]
    np.testing.assert_array_equal(together, np.hstack(alone))
    assert joint.description()["backbone"]["embedding_size"] == together.shape[1] == 288
    assert joint.description()["backbone"]["name"] == "logmel+mean_spectrum"


def test_the_store_reads_side_by_side_what_is_kept_apart(joint, sounds, tmp_path):
    store = Store(tmp_path, create=True)
    first, second = (member.vectors(sounds, sample_rate=RATE) for member in joint.members)
    store.append_vectors(joint.members[0].embedder_id, ["a", "b"], first)
    assert store.embedded(joint.embedder_id, ["a", "b"]) == set()
    store.append_vectors(joint.members[1].embedder_id, ["b"], second[1:])
    assert store.embedded(joint.embedder_id, ["a", "b"]) == {"b"}
    assert store.embedded(joint.embedder_id) == {"b"}
    expected = joint.vectors(sounds[1:], sample_rate=RATE)
    np.testing.assert_array_equal(store.vectors(joint.embedder_id, ["b"]), expected)
    assert store.widths(joint.embedder_id) == (256, 32)


def test_saved_and_loaded_it_is_the_same(joint, sounds, tmp_path):
    save_embedders(joint, tmp_path)
    loaded = load_embedders(tmp_path, device="cpu")
    assert isinstance(loaded, JointEmbedder)
    assert loaded.embedder_id == joint.embedder_id
    assert loaded.description() == joint.description()
    found = [one.vectors(sounds, sample_rate=RATE) for one in (joint, loaded)]
    np.testing.assert_array_equal(*found)


def test_where_one_network_is_needed_several_are_an_error_and_are_replaced_whole(joint, tmp_path):
    save_embedders(joint, tmp_path)
    with pytest.raises(BackboneError, match=r"2 networks side by side \(logmel\+mean_spectrum\)"):
        load_embedder(tmp_path)
    save_embedders(joint.members[0], tmp_path)
    assert load_embedders(tmp_path).embedder_id == joint.members[0].embedder_id
    assert not list(tmp_path.glob("member_*"))


def test_two_of_the_same_network_are_refused(joint):
    for members in (joint.members[:1], (joint.members[0],) * 2):
        with pytest.raises(BackboneError, match="two or more different"):
            JointEmbedder(members)


def test_members_hear_what_a_change_of_front_ends_makes_of_a_sound(joint):
    slowed = joint.hearing(lambda front_end: SlowFrontEnd(front_end, 2.0))
    assert slowed.embedder_id != joint.embedder_id
    assert [member.front_end.settings()["slow"] for member in slowed.members] == [2.0, 2.0]
    assert "slow" not in joint.front_end.settings()


def test_weights_of_one_of_several_networks_are_given_once():
    options = EmbedderOptions("yamnet+mfcc", weights="yamnet=first,yamnet=second")
    with pytest.raises(BackboneError, match="names yamnet twice: first and second"):
        _of_each(options)
