"""Files of every kind, whole and broken, and what is read from them."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pseudorca.embedding.drawing import read_clip
from pseudorca.errors import AudioError
from pseudorca.recordings import audio


def noise(n_frames: int, n_channels: int = 1, *, seed: int = 0) -> NDArray[np.int16]:
    """Samples [shape=(n_frames, n_channels)] over the whole 16-bit range."""
    rng = np.random.default_rng(seed)
    return rng.integers(-(2**15), 2**15, (n_frames, n_channels), dtype=np.int16)


@dataclass(frozen=True)
class Kind:
    """A container and sample type; ``step`` is its rounding, None where it is lossy."""

    suffix: str
    container: str
    subtype: str
    step: float | None = 0.0
    sample_rate: int = 44_100

    def __str__(self) -> str:
        return f"{self.container}-{self.subtype}"


EXACT = [
    Kind(".wav", "WAV", "PCM_16"),
    Kind(".wav", "WAV", "PCM_24"),
    Kind(".wav", "WAV", "PCM_32"),
    Kind(".wav", "WAV", "FLOAT"),
    Kind(".wav", "WAV", "DOUBLE"),
    Kind(".wav", "WAVEX", "PCM_16"),
    Kind(".wav", "WAVEX", "PCM_24"),
    Kind(".wav", "WAVEX", "FLOAT"),
    Kind(".wav", "RF64", "PCM_16"),
    Kind(".rf64", "RF64", "PCM_24"),
    Kind(".w64", "W64", "PCM_24"),
    Kind(".flac", "FLAC", "PCM_16"),
    Kind(".flac", "FLAC", "PCM_24"),
    Kind(".aiff", "AIFF", "PCM_16"),
    Kind(".aif", "AIFF", "PCM_24"),
    Kind(".caf", "CAF", "PCM_16"),
    Kind(".au", "AU", "PCM_16"),
]
COARSE = [
    Kind(".wav", "WAV", "PCM_U8", 2**-7),
    Kind(".flac", "FLAC", "PCM_S8", 2**-7),
    Kind(".wav", "WAV", "ULAW", 2**-5),
]
BLOCKS = [Kind(".wav", "WAV", "IMA_ADPCM", None), Kind(".wav", "WAV", "MS_ADPCM", None)]
LOSSY = [
    Kind(".ogg", "OGG", "VORBIS", None),
    Kind(".opus", "OGG", "OPUS", None, 48_000),
    Kind(".mp3", "MP3", "MPEG_LAYER_III", None),
]


def write(path: Path, kind: Kind, samples: NDArray[np.int16]) -> Path:
    """Write 16-bit samples [shape=(n_frames, n_channels)]; whole blocks, as libsndfile wants Vorbis."""
    whole_numbers = kind.subtype not in ("FLOAT", "DOUBLE")
    data = samples if whole_numbers else (samples / 2**15).astype(np.float32)
    with sf.SoundFile(
        path, "w", kind.sample_rate, samples.shape[1], format=kind.container, subtype=kind.subtype
    ) as file:
        for start in range(0, len(data), 10_000):
            file.write(data[start : start + 10_000])
    return path


@pytest.mark.parametrize("kind", EXACT + COARSE, ids=str)
def test_reading_gives_the_samples_that_were_written(kind: Kind, tmp_path: Path) -> None:
    samples = noise(3_000, 2)
    path = write(tmp_path / f"x{kind.suffix}", kind, samples)
    info = audio.probe(path)
    assert (info.sample_rate, info.n_channels, info.n_frames) == (kind.sample_rate, 2, 3_000)
    assert info.duration_s == 3_000 / kind.sample_rate
    assert info.format == f"{kind.container}/{kind.subtype}"
    assert info.n_missing_frames == 0
    found = audio.read_segment(path)
    assert found.shape == (2, 3_000)
    assert found.dtype == np.float32
    assert np.abs(found - samples.T / 2**15).max() <= (kind.step or 0)


@pytest.mark.parametrize("kind", LOSSY, ids=str)
def test_lossy_formats_keep_length_and_loudness(kind: Kind, tmp_path: Path) -> None:
    time_s = np.arange(30_000) / kind.sample_rate
    tone = np.round(2**14 * np.sin(2 * np.pi * 1_000 * time_s)).astype(np.int16)[:, None]
    path = write(tmp_path / f"x{kind.suffix}", kind, tone)
    found = audio.read_segment(path)
    assert found.shape == (1, 30_000)
    assert np.sqrt((found**2).mean()) == pytest.approx(0.5 / math.sqrt(2), rel=0.1)
    assert audio.inspect(path).hash_kind == "samples"


@pytest.mark.parametrize("kind", [*EXACT, *COARSE, *BLOCKS, *LOSSY], ids=str)
def test_partial_reads_equal_slices_of_the_whole(kind: Kind, tmp_path: Path) -> None:
    path = write(tmp_path / f"x{kind.suffix}", kind, noise(100_000, 2))
    whole = audio.read_segment(path)
    n_frames = whole.shape[1]
    rng = np.random.default_rng(0)
    with audio.Reader(path) as reader:
        spans = [(0, n_frames), (n_frames - 1, 1), (0, 0), (n_frames - 300, 300)]
        spans += [
            (int(rng.integers(n_frames - 2_000)), int(rng.integers(2_000))) for _ in range(40)
        ]
        for start, length in spans:
            found = reader.read(start, length)
            assert found.shape == (2, length)
            assert np.array_equal(found, whole[:, start : start + length]), (start, length)
            if length:
                again = audio.read_segment(path, start_frame=start, n_frames=length)
                assert np.array_equal(again, found)


@pytest.mark.parametrize(
    ("level", "mode"), [(0.9, "VARIABLE"), (0.99, "CONSTANT"), (0.5, "CONSTANT")]
)
def test_mp3_is_read_where_it_was_asked_for_whatever_its_header_says(
    level: float, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.mp3"
    options = {"compression_level": level, "bitrate_mode": mode}
    with sf.SoundFile(
        path, "w", 16_000, 1, format="MP3", subtype="MPEG_LAYER_III", **options
    ) as file:
        for start in range(0, 600_000, 10_000):
            file.write(noise(10_000, seed=start))
    with Stream(path) as file:
        whole = file.read(700_000, dtype="float32")
    with audio.Reader(path) as reader:
        assert reader.info.n_frames == len(whole)
        for start in (0, 1, 500_000, 499_000, 590_000, 1_152, 300_001):
            found = reader.read(start, 2_000)[0]
            assert np.allclose(found, whole[start : start + 2_000], rtol=0, atol=1e-6), start


class Stream(sf.SoundFile):
    """The slow reference: a file that soundfile cannot seek in."""

    def seekable(self) -> bool:
        return False


def test_truncated_mp3_keeps_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp3", LOSSY[2], noise(50_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    info = audio.inspect(path).info
    assert 15_000 < info.n_frames < 30_000
    assert info.n_frames + info.n_missing_frames == 50_000
    assert audio.read_segment(path).shape == (1, info.n_frames)


@pytest.mark.parametrize(
    ("start", "length"), [(-1, 10), (0, 3_001), (2_999, 2), (3_001, 0), (5, -1)]
)
def test_reading_refuses_what_lies_outside(start: int, length: int, tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", EXACT[0], noise(3_000))
    with pytest.raises(AudioError):
        audio.read_segment(path, start_frame=start, n_frames=length)


@pytest.mark.parametrize(
    ("n_channels", "sample_rate"),
    [(1, 50), (1, 600), (2, 44_100), (6, 32_000), (16, 500_000), (64, 192_000), (1, 1_000_000)],
)
def test_reading_takes_every_rate_and_channel_count(
    n_channels: int, sample_rate: int, tmp_path: Path
) -> None:
    samples = noise(1_000, n_channels)
    sf.write(tmp_path / "x.wav", samples, sample_rate)
    found = audio.inspect(tmp_path / "x.wav")
    assert (found.info.sample_rate, found.info.n_channels) == (sample_rate, n_channels)
    assert np.array_equal(audio.read_segment(tmp_path / "x.wav"), samples.T / np.float32(2**15))


@pytest.mark.parametrize(("n_channels", "sample_rate"), [(1, 49), (1, 1_000_001), (65, 48_000)])
def test_impossible_rates_and_channel_counts_are_refused(
    n_channels: int, sample_rate: int, tmp_path: Path
) -> None:
    sf.write(tmp_path / "x.wav", noise(1_000, n_channels), sample_rate)
    with pytest.raises(AudioError, match="impossible header"):
        audio.inspect(tmp_path / "x.wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff"])
def test_24_bit_never_wraps(suffix: str, tmp_path: Path) -> None:
    steps = np.array([-(2**23), -(2**23) + 1, -1, 0, 1, 2**15, 2**16, 2**23 - 1], dtype=np.int32)
    samples = np.tile(steps, 100)
    sf.write(tmp_path / f"x{suffix}", samples << 8, 48_000, subtype="PCM_24")
    found = audio.read_segment(tmp_path / f"x{suffix}")[0]
    assert np.array_equal(found, samples / np.float32(2**23))
    assert audio.inspect(tmp_path / f"x{suffix}").peak == 1.0


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".w64"])
def test_floats_beyond_full_scale_are_kept(suffix: str, subtype: str, tmp_path: Path) -> None:
    samples = np.linspace(-37.5, 12.25, 1_000, dtype=np.float32)
    sf.write(tmp_path / f"x{suffix}", samples, 48_000, subtype=subtype)
    assert np.array_equal(audio.read_segment(tmp_path / f"x{suffix}")[0], samples)
    assert audio.inspect(tmp_path / f"x{suffix}").peak == 37.5


# Hashes


def test_hash_is_of_the_sound_whatever_the_file(tmp_path: Path) -> None:
    samples = noise(5_000, 2)
    hashes = {
        str(kind): audio.inspect(
            write(tmp_path / f"{kind}{kind.suffix}", kind, samples)
        ).content_hash
        for kind in EXACT
    }
    assert len(set(hashes.values())) == 1, hashes


def test_hash_takes_both_zeros_for_one(tmp_path: Path) -> None:
    samples = np.linspace(-1, 1, 1_001, dtype=np.float32)
    samples[10:20] = 0.0
    sf.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    samples[10:20] = -0.0
    sf.write(tmp_path / "b.wav", samples, 8_000, subtype="FLOAT")
    hashes = {audio.inspect(tmp_path / name).content_hash for name in ("a.wav", "b.wav")}
    assert len(hashes) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sounds")


@settings(max_examples=15, deadline=None)
@given(n_frames=st.integers(300, 3_000), seed=st.integers(0, 10**6), data=st.data())
def test_hash_tells_sounds_apart(
    n_frames: int, seed: int, data: st.DataObject, folder: Path
) -> None:
    stereo = noise(n_frames, 2, seed=seed)
    changed = stereo.copy()
    frame, channel = data.draw(st.integers(0, n_frames - 1)), data.draw(st.integers(0, 1))
    changed[frame, channel] ^= 1
    variants = {
        "as it was": (stereo, 8_000),
        "another rate": (stereo, 8_001),
        "one bit of one sample": (changed, 8_000),
        "one channel": (stereo[:, :1], 8_000),
        "interleaved into one channel": (stereo.reshape(-1, 1), 8_000),
        "channels exchanged": (stereo[:, ::-1], 8_000),
        "one sample longer": (np.vstack([stereo, [[0, 0]]]).astype(np.int16), 8_000),
        "a channel twice": (stereo[:, [0, 0]], 8_000),
    }
    hashes = {}
    for name, (samples, rate) in variants.items():
        sf.write(folder / "x.wav", samples, rate)
        hashes[name] = audio.inspect(folder / "x.wav").content_hash
    assert len(set(hashes.values())) == len(variants), hashes


@pytest.mark.parametrize("sample_rate", [50, 1_000])
def test_long_recordings_are_hashed_by_blocks(sample_rate: int, tmp_path: Path) -> None:
    samples = noise(601 * sample_rate)
    wav, flac = tmp_path / "x.wav", tmp_path / "x.flac"
    sf.write(wav, samples, sample_rate)
    sf.write(flac, samples, sample_rate)
    by_blocks, by_samples = audio.inspect(wav), audio.inspect(wav, full_hash=True)
    assert (by_blocks.hash_kind, by_samples.hash_kind) == ("blocks", "samples")
    assert by_blocks.content_hash != by_samples.content_hash
    assert audio.inspect(flac, full_hash=True).content_hash == by_samples.content_hash
    sf.write(wav, samples[: 600 * sample_rate], sample_rate)
    assert audio.inspect(wav).hash_kind == "samples"


@pytest.mark.parametrize("frame", [0, 400_000, 600_999])
def test_block_hash_sees_every_block(frame: int, tmp_path: Path) -> None:
    samples = noise(601_000)
    sf.write(tmp_path / "a.wav", samples, 1_000)
    samples[frame] ^= 1
    sf.write(tmp_path / "b.wav", samples, 1_000)
    hashes = {audio.inspect(tmp_path / name).content_hash for name in ("a.wav", "b.wav")}
    assert len(hashes) == 2


def test_long_silence_is_listened_to_between_the_blocks(tmp_path: Path) -> None:
    samples = np.zeros(5_000_000, dtype=np.int16)
    sf.write(tmp_path / "x.flac", samples, 8_000)
    with pytest.raises(AudioError, match="silent"):
        audio.inspect(tmp_path / "x.flac")
    samples[40_000:40_100] = 1_000  # no block lies here
    sf.write(tmp_path / "x.flac", samples, 8_000)
    found = audio.inspect(tmp_path / "x.flac")
    assert found.hash_kind == "samples"
    assert found.peak == 1_000 / 2**15


# Files that are not as they should be


@pytest.mark.parametrize(
    "kind",
    [k for k in EXACT if k.container in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU")],
    ids=str,
)
def test_truncated_files_keep_what_is_there_and_say_what_is_not(kind: Kind, tmp_path: Path) -> None:
    samples = noise(3_000, 2)
    path = write(tmp_path / f"x{kind.suffix}", kind, samples)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    info = audio.inspect(path).info
    assert 1_500 < info.n_frames < 2_100
    assert info.n_frames + info.n_missing_frames == pytest.approx(3_000, abs=10)
    assert np.array_equal(audio.read_segment(path), samples[: info.n_frames].T / np.float32(2**15))


def test_whole_files_with_more_behind_the_sound_miss_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", EXACT[0], noise(3_000))
    path.write_bytes(path.read_bytes() + b"LIST\x04\x00\x00\x00abcd" + bytes(33))
    assert audio.inspect(path).info.n_missing_frames == 0
    assert audio.inspect(path).info.n_frames == 3_000


def flac_of_nothing(path: Path) -> None:
    sf.write(path, noise(50_000), 8_000, format="FLAC")
    path.write_bytes(path.read_bytes()[:200])


def not_finite(value: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        samples = noise(1_000)[:, 0] / np.float32(2**15)
        samples[[400, 700]] = value, -value
        sf.write(path, samples, 8_000, format="WAV", subtype="FLOAT")

    return make


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty file"),
    "text": (lambda path: path.write_text("hello\n" * 100), "not audio"),
    "header only": (lambda path: path.write_bytes(b"RIFF"), "not audio"),
    "silence": (lambda path: sf.write(path, np.zeros((900, 2)), 8_000, format="WAV"), "silent"),
    "constant": (lambda path: sf.write(path, np.full(900, 0.3), 8_000, format="WAV"), "silent"),
    "one constant per channel": (
        lambda path: sf.write(path, np.full((900, 2), [0.3, -0.1]), 8_000, format="WAV"),
        "silent",
    ),
    "NaN": (not_finite(math.nan), "not finite"),
    "infinite": (not_finite(math.inf), "not finite"),
    "FLAC cut off in its first frame": (flac_of_nothing, "damaged"),
    "no samples": (lambda path: sf.write(path, np.zeros(0), 8_000, format="WAV"), "no samples"),
    "255 samples": (
        lambda path: sf.write(path, noise(255), 8_000, format="WAV"),
        "shorter than one spectrogram frame",
    ),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "cannot be opened"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be opened"),
    "folder": (lambda path: path.mkdir(), "cannot be opened"),
    "pipe": (lambda path: os.mkfifo(path), "cannot be opened"),
    "missing": (lambda path: None, "cannot be opened"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    make, reason = BROKEN[name]
    make(tmp_path / "x.wav")
    with pytest.raises(AudioError) as caught:
        audio.inspect(tmp_path / "x.wav")
    assert caught.value.reason == reason
    assert caught.value.detail


def test_headerless_samples_are_not_audio(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(noise(1_000).tobytes())
    with pytest.raises(AudioError, match="not audio"):
        audio.inspect(tmp_path / "x.raw")


def test_one_dead_hydrophone_does_not_silence_the_others(tmp_path: Path) -> None:
    samples = noise(1_000, 3)
    samples[:, 1] = 0
    sf.write(tmp_path / "x.wav", samples, 8_000)
    assert audio.inspect(tmp_path / "x.wav").info.n_channels == 3


@pytest.mark.parametrize("n_channels", [2, 6])
@pytest.mark.parametrize("bad", [1, 2])
@pytest.mark.parametrize(
    ("value", "share"), [(math.nan, 1 / 900), (math.nan, 1), (math.inf, 0.5), (0.25, 1)]
)
def test_channels_are_judged_one_by_one(
    value: float, share: float, bad: int, n_channels: int, tmp_path: Path
) -> None:
    samples = noise(900, n_channels) / np.float32(2**15)
    good = np.delete(samples, bad - 1, axis=1)
    samples[: round(share * 900), bad - 1] = value
    sf.write(tmp_path / "x.wav", samples, 8_000, subtype="FLOAT")
    found = audio.inspect(tmp_path / "x.wav")
    assert [channel for channel, _ in found.bad_channels] == [bad]
    assert found.peak == np.abs(good).max()
    clip = SimpleNamespace(start_s=0.0, end_s=900 / 8_000, padded_s=0.0, pad="tile")
    with audio.Reader(tmp_path / "x.wav") as reader:
        for channel in range(1, n_channels + 1):
            clip.channel = str(channel)
            if channel == bad:
                with pytest.raises(AudioError, match=r"not finite|silent"):
                    read_clip(reader, clip)
            else:
                assert np.array_equal(read_clip(reader, clip), samples[:, channel - 1])
        clip.channel = "mean"
        taken = samples if math.isfinite(value) else good
        assert np.array_equal(read_clip(reader, clip), taken.T.mean(axis=0))


def test_channels_that_are_all_bad_are_refused(tmp_path: Path) -> None:
    for values, reason in ({(math.nan, math.inf): "not finite", (math.nan, 0.5): "silent"}).items():
        sf.write(tmp_path / "x.wav", np.tile(values, (900, 1)), 8_000, subtype="FLOAT")
        with pytest.raises(AudioError, match=reason):
            audio.inspect(tmp_path / "x.wav")


def test_not_finite_says_where(tmp_path: Path) -> None:
    not_finite(math.nan)(tmp_path / "x.wav")
    with pytest.raises(AudioError, match=r"2 bad samples, the first at 0\.050 s"):
        audio.inspect(tmp_path / "x.wav")


def test_the_shortest_usable_recording_is_one_frame(tmp_path: Path) -> None:
    sf.write(tmp_path / "x.wav", noise(audio.MIN_FRAMES), 8_000)
    assert audio.inspect(tmp_path / "x.wav").info.n_frames == audio.MIN_FRAMES


# Real recordings


def test_the_survey_clip_is_read_at_its_own_rate(hiceas_clip: Path) -> None:
    found = audio.inspect(hiceas_clip)
    assert found.info.format == "WAV/PCM_16"
    assert (found.info.sample_rate, found.info.n_channels) == (500_000, 1)
    assert found.info.duration_s == pytest.approx(1.234, abs=0.001)
    assert 0 < found.peak < 1
    stretch = audio.read_segment(hiceas_clip, start_frame=100_000, n_frames=5_000)
    assert np.array_equal(stretch, audio.read_segment(hiceas_clip)[:, 100_000:105_000])


def test_the_array_is_six_channels_of_24_bits(hydrophones: Path) -> None:
    path = hydrophones / "array_6ch_32k_24bit/AMAR173.20190920T163858Z_6ch.flac"
    found = audio.inspect(path)
    assert (found.info.n_channels, found.info.sample_rate) == (6, 32_000)
    assert found.info.format == "FLAC/PCM_24"
    samples = audio.read_segment(path)
    assert len({channel.tobytes() for channel in samples}) == 6
    assert np.array_equal(samples * 2**23, np.round(samples * 2**23))


def test_partial_reads_of_a_real_mp3_equal_slices_of_the_whole(hydrophones: Path) -> None:
    path = next((hydrophones / "whaledr_ooi").glob("*.mp3"))
    with audio.Reader(path) as reader:
        assert reader.info.duration_s == 300
        whole = reader.read(0, 2_000_000)
        for start in (1_999_000, 1, 1_152, 777_777):
            assert np.array_equal(reader.read(start, 1_000), whole[:, start : start + 1_000])


def test_a_real_recording_over_ten_minutes_is_hashed_by_blocks(hydrophones: Path) -> None:
    found = audio.inspect(hydrophones / "pamguard_examples/NOPP6_EST_20090329_121500.wav")
    assert found.info.duration_s == 900
    assert found.hash_kind == "blocks"
