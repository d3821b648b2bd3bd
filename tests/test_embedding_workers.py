"""What an encoder does with a part, without Ray: it writes it whole, and the cut of the work is fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distributed.augmentation import PassMaker
from distributed.decode_task import TrainingPasses, decode_part
from distributed.decoding import DecodedVideo, Decoder
from distributed.embedding_workers import EncodeParts
from distributed.encoders import Encoder, load_encoder
from distributed.encoders.vjepa import VisionTransformer
from distributed.encoders.weights import write_weights
from distributed.errors import UserError
from distributed.storage import Storage
from distributed.token_reader import TokenReader
from distributed.token_store import TokenStore, read_ipc
from distributed.views import short_side
from tests.conftest import WriteVideo
from tests.small_road import open_context, open_store, part_of, write_experiment, write_faces


@pytest.fixture
def experiment(tmp_path: Path, write_video: WriteVideo) -> Path:
    return write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))


class Counted(Encoder):
    """An encoder that notes the size of every pass, and whose memory holds `most` clips."""

    def __init__(self, encoder: Encoder, most: int = 1000) -> None:
        super().__init__(encoder.spec, encoder.module, encoder.device)
        self.most, self.passes = most, list[int]()

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        if len(clips) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        self.passes.append(len(clips))
        return super().__call__(clips)


def encoded(experiment: Path, clips_per_batch: int, most: int = 1000) -> tuple[TokenReader, list[int], dict[str, Any]]:
    """The tokens of one part of 8 videos of two clips each, the passes made for them, and the part's summary."""
    overrides = (f"embedding.clips_per_batch={clips_per_batch}", "embedding.videos_per_task=8")
    context = open_context(experiment, *overrides, f"workspace={experiment.parent}/{clips_per_batch}-{most}")
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    encode = EncodeParts(store, settings, clips_per_batch)
    encode.encoder = counted = Counted(encode.encoder, most)
    side = short_side(settings.views, 32)
    decoded = decode_part(part_of(experiment), settings.decoding, settings.clips, side)
    (summary,) = encode(decoded).to_pylist()
    assert summary["frames"] == sum(size[0] for size in decoded["size"].to_pylist()) > 0
    store.seal(0)
    return TokenReader(store, manifest.table["video_id"].to_pylist()), counted.passes, summary


def test_passes_run_on_from_video_to_video_and_do_not_change_the_tokens(experiment: Path) -> None:
    expected = None
    for size, passes in ((16, [16]), (100, [16]), (5, [5, 5, 5, 1]), (1, [1] * 16)):
        tokens, made, summary = encoded(experiment, size)
        assert made == passes and tokens.shape == (2 * 8 * 2 * 2, 32)
        assert summary["videos"] == 8 and summary["clips"] == 16 and summary["failures"] == []
        assert summary["clips_per_batch"] == size and summary["worked_s"] > 0 and summary["waited_s"] >= 0
        assert summary["token_bytes"] == tokens.header.predicted_bytes
        found = tokens.gather(np.arange(8)).float()
        expected = found if expected is None else expected
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


def test_where_memory_runs_out_passes_are_halved_and_stay_so(experiment: Path) -> None:
    whole, _, _ = encoded(experiment, 16)
    halved, passes, summary = encoded(experiment, 16, most=5)
    assert passes == [4, 4, 4, 4] and summary["clips_per_batch"] == 4
    torch.testing.assert_close(halved.gather(np.arange(8)), whole.gather(np.arange(8)), rtol=2e-3, atol=2e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_tokens_are_those_of_the_cpu(experiment: Path) -> None:
    context = open_context(experiment, "encoder.device=cuda", "encoder.dtype=float32", "embedding.videos_per_task=8")
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    part = decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32))
    EncodeParts(store, settings, 16)(part)
    store.seal(0)
    there, _, _ = encoded(experiment, 16)
    here = TokenReader(store, manifest.table["video_id"].to_pylist())
    torch.testing.assert_close(here.gather(np.arange(8)), there.gather(np.arange(8)), rtol=5e-3, atol=5e-3)


def test_tokens_that_are_not_finite_are_rows_of_failures_and_none_of_them_is_kept(experiment: Path) -> None:
    """Finite weights whose tokens overflow, as half precision can make them of good ones."""
    model = VisionTransformer(32, 1, 2, resolution=32)
    torch.nn.init.constant_(model.norm.weight, 3e38)
    context = open_context(experiment, "embedding.videos_per_task=8")
    settings = context.experiment.embedding_settings
    write_weights(Path(str(settings.encoder.weights)), model)
    manifest, store = open_store(context)
    store.create()
    EncodeParts(store, settings, 16)(
        decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32))
    )
    store.seal(0)
    failures = store.failures()
    assert [failure.video_id for failure in failures] == manifest.table["video_id"].to_pylist()
    assert all(failure.stage == "encode" and "tokens that are not finite" in failure.reason for failure in failures)
    assert read_ipc(store.shards, store.shards.names()[0])[0].num_rows == 0


def test_an_encoder_that_is_another_one_on_this_machine_is_refused(experiment: Path) -> None:
    """The store was planned with one file, and a node has another under its name."""
    context = open_context(experiment)
    settings = context.experiment.embedding_settings
    _, store = open_store(context)
    path = Path(str(settings.encoder.weights))
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    with pytest.raises(UserError, match=r"is another one on this machine \(sha256: .* there, .* here\); give every"):
        EncodeParts(store, settings, 16)


def with_passes(experiment: Path, folder: Path, *overrides: str) -> tuple[TokenStore, TokenReader]:
    """A store of one part, made without Ray."""
    context = open_context(experiment, "embedding.videos_per_task=8", f"tokens.store={folder}", *overrides)
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    passes = TrainingPasses(settings.views.train, settings.views.augmentation.seed)
    frames = decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32), passes)
    EncodeParts(store, settings, 16)(frames)
    store.seal(0)
    return store, TokenReader(store, manifest.table["video_id"].to_pylist())


def test_augmented_passes_stand_beside_clean_tokens_that_are_the_same_bits(experiment: Path, tmp_path: Path) -> None:
    videos, both = np.arange(8), ("views.crops=3", "tokens.dtype=bfloat16")
    _, without = with_passes(experiment, tmp_path / "without", *both)
    store, tokens = with_passes(experiment, tmp_path / "with", *both, "views.train=2")
    assert store.header.views == ("first", "middle", "last", "train-1", "train-2")
    assert torch.equal(tokens.evaluation_views(videos), without.evaluation_views(videos))
    first, second = (tokens.read(videos, np.full(8, view)) for view in (3, 4))
    assert not torch.equal(first, second)

    settings = open_context(experiment, *both).experiment.embedding_settings
    encoder = load_encoder(settings.encoder)
    norm: dict[str, Any] = {"resolution": 32, "mean": encoder.spec.mean, "std": encoder.spec.std}
    manifest, _ = open_store(open_context(experiment))
    video_id, path = (manifest.table[name][5].as_py() for name in ("video_id", "path"))
    with Decoder(settings.decoding) as decoder:
        video = decoder.decode(path, settings.clips, short_side(settings.views, 32))
    assert isinstance(video, DecodedVideo)
    frames, clips = torch.from_numpy(video.frames), torch.from_numpy(video.clips)  # short: the plan is the clean one
    made = PassMaker(settings.views.augmentation, **norm).clips(frames, clips, video_id=video_id, number=2)
    torch.testing.assert_close(second[5].float(), encoder(made).reshape(-1, 32), rtol=2e-2, atol=2e-2)


def test_a_video_fails_once_however_many_passes_it_has(experiment: Path, tmp_path: Path) -> None:
    """The weights make tokens that are too large for float16."""
    model = VisionTransformer(32, 1, 2, resolution=32)
    torch.nn.init.constant_(model.norm.weight, 1e6)
    write_weights(experiment.parent / "tiny.safetensors", model)
    with pytest.raises(UserError, match="8 of 8 videos have no tokens"):
        with_passes(experiment, tmp_path / "overflow", "views.train=2")
    failures = TokenStore.open(Storage.at(tmp_path / "overflow")).failures()
    assert len(failures) == 8 and {failure.stage for failure in failures} == {"encode"}


def test_tokens_that_float16_cannot_hold_are_failures_and_bfloat16_keeps_them(experiment: Path, tmp_path: Path) -> None:
    """Weights that are finite, and whose tokens are too large for float16 but not for bfloat16."""
    model = VisionTransformer(32, 1, 2, resolution=32)
    torch.nn.init.constant_(model.norm.weight, 1e6)
    write_weights(experiment.parent / "tiny.safetensors", model)
    with pytest.raises(UserError, match="8 of 8 videos have no tokens"):
        with_passes(experiment, tmp_path / "float16")
    failures = TokenStore.open(Storage.at(tmp_path / "float16")).failures()
    assert len(failures) == 8
    assert all(f.stage == "encode" and "tokens.dtype to bfloat16" in f.reason for f in failures)
    store, tokens = with_passes(experiment, tmp_path / "bfloat16", "tokens.dtype=bfloat16")
    assert store.failures() == [] and tokens.evaluation_views(np.arange(8)).abs().max() > 65504  # float16's largest


def test_other_passes_are_another_store(experiment: Path, tmp_path: Path) -> None:
    plain, _ = with_passes(experiment, tmp_path / "plain")
    assert plain.storage.read_json("store.json")["view_settings"] == {"crops": 1}
    with_passes(experiment, tmp_path / "passes", "views.train=1")
    for folder, override, difference in (
        ("plain", "views.train=1", "view_settings.train: None there, 1 here"),
        ("passes", "views.train=2", "view_settings.train: 1 there, 2 here"),
    ):
        with pytest.raises(UserError, match=difference):
            with_passes(experiment, tmp_path / folder, override)
    with pytest.raises(UserError, match=r"view_settings.augmentation.erasing: 0.25 there, 0.5 here"):
        with_passes(experiment, tmp_path / "passes", "views.train=1", "views.augmentation.erasing=0.5")


def test_only_what_shapes_the_store_may_change_it(experiment: Path) -> None:
    """Two embeddings that differ in what they may use share a store; another cut of the work does not."""
    context = open_context(experiment)
    key = context.store(open_store(context)[0]).storage.uri
    for override, same in [
        ("embedding.encoders=2", True),
        ("embedding.compile=true", True),
        ("embedding.videos_per_task=2", False),
        ("embedding.clips_per_batch=4", False),
    ]:
        other = open_context(experiment, override)
        assert (other.store(open_store(other)[0]).storage.uri == key) is same
