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
from distributed.encoders import load_encoder
from distributed.encoders.vjepa import VisionTransformer
from distributed.encoders.weights import write_weights
from distributed.errors import UserError
from distributed.storage import Storage
from distributed.token_reader import TokenReader
from distributed.token_store import TokenStore
from distributed.views import short_side
from tests.conftest import WriteVideo
from tests.small_road import open_context, open_store, part_of, write_experiment, write_faces


@pytest.fixture
def experiment(tmp_path: Path, write_video: WriteVideo) -> Path:
    return write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))


@pytest.mark.parametrize(("clips_per_batch", "expected"), [(1, 8), (4, 4), (100, 1)])
def test_an_encoder_writes_its_part_and_groups_do_not_change_the_tokens(
    experiment: Path, clips_per_batch: int, expected: int
) -> None:
    context = open_context(experiment, f"embedding.clips_per_batch={clips_per_batch}", "embedding.videos_per_task=8")
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    encode = EncodeParts(store, settings)
    assert len(encode._groups(range(8), views=1)) == expected
    summary = encode(
        decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32))
    ).to_pylist()
    assert summary[0]["videos"] == 8 and summary[0]["failures"] == [] and summary[0]["worked_s"] > 0
    store.seal(0)
    tokens = TokenReader(store, manifest.table["video_id"].to_pylist())
    assert tokens.shape == (2 * 8 * 2 * 2, 32)


def encoded(experiment: Path, folder: Path, *overrides: str) -> tuple[TokenStore, TokenReader]:
    """A store of one part, made without Ray."""
    context = open_context(experiment, "embedding.videos_per_task=8", f"tokens.store={folder}", *overrides)
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    passes = TrainingPasses(settings.views.train, settings.views.augmentation.seed)
    frames = decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32), passes)
    EncodeParts(store, settings)(frames)
    store.seal(0)
    return store, TokenReader(store, manifest.table["video_id"].to_pylist())


def test_augmented_passes_stand_beside_clean_tokens_that_are_the_same_bits(experiment: Path, tmp_path: Path) -> None:
    videos, both = np.arange(8), ("views.crops=3", "tokens.dtype=bfloat16")
    _, without = encoded(experiment, tmp_path / "without", *both)
    store, tokens = encoded(experiment, tmp_path / "with", *both, "views.train=2")
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
        encoded(experiment, tmp_path / "overflow", "views.train=2")
    failures = TokenStore.open(Storage.at(tmp_path / "overflow")).failures()
    assert len(failures) == 8 and {failure.stage for failure in failures} == {"encode"}


def test_other_passes_are_another_store(experiment: Path, tmp_path: Path) -> None:
    plain, _ = encoded(experiment, tmp_path / "plain")
    assert plain.storage.read_json("store.json")["view_settings"] == {"crops": 1}
    encoded(experiment, tmp_path / "passes", "views.train=1")
    for folder, override, difference in (
        ("plain", "views.train=1", "view_settings.train: None there, 1 here"),
        ("passes", "views.train=2", "view_settings.train: 1 there, 2 here"),
    ):
        with pytest.raises(UserError, match=difference):
            encoded(experiment, tmp_path / folder, override)
    with pytest.raises(UserError, match=r"view_settings.augmentation.erasing: 0.25 there, 0.5 here"):
        encoded(experiment, tmp_path / "passes", "views.train=1", "views.augmentation.erasing=0.5")


def test_only_what_shapes_the_store_may_change_it(experiment: Path) -> None:
    """Two embeddings that differ in what they may use share a store; another cut of the work does not."""
    context = open_context(experiment)
    key = context.store(open_store(context)[0]).storage.uri
    for override, same in [
        ("embedding.encoders=2", True),
        ("embedding.videos_per_task=2", False),
        ("embedding.clips_per_batch=4", False),
    ]:
        other = open_context(experiment, override)
        assert (other.store(open_store(other)[0]).storage.uri == key) is same
