"""Models of the transformers library on the whole road: doctor, embedding in Ray, the store's header, a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distributed.decoding import DecodedVideo, Decoder
from distributed.embedding import embed
from distributed.encoders import EncoderSpec, encoder_spec, load_encoder
from distributed.errors import UserError
from distributed.exported import ExportedModel
from distributed.health import check_encoder
from distributed.prediction import predict_probabilities
from distributed.predictor import Predictor
from distributed.storage import Storage
from distributed.token_reader import TokenReader
from distributed.token_source import TensorTokens
from distributed.views import evaluation_clips, short_side
from distributed.winners import Winner
from search_spaces.family import build_probe
from tests.conftest import WriteVideo
from tests.small_models import write_model
from tests.small_road import open_context, open_store, write_experiment, write_faces

PARAMS = {"linear.dropout": 0.0}
RECORD: dict[str, Any] = {"fold": 0, "family": "linear", "params": PARAMS, "selection": "nested", "trial": 0}
RECORD |= {"inner_score": 0.5, "scores": {}, "recall": [], "num_test": 1, "test_actors": [], "temperature": None}


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize(("family", "frames", "grid"), [("vjepa2", 8, (4, 2, 2)), ("clip", 6, (6, 2, 2))])
def test_a_model_folder_is_embedded_named_in_the_header_and_predicts(
    tmp_path: Path, write_video: WriteVideo, family: str, frames: int, grid: tuple[int, int, int]
) -> None:
    write_model(tmp_path / "models" / family, family)
    experiment = write_experiment(
        tmp_path,
        write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 4)),
        encoder=f"huggingface:models/{family}",  # from the experiment file's folder
        clips={"segments": 2, "frames_per_clip": frames, "frame_step": 2},
        embedding={"encoders": 1, "videos_per_task": 3},
    )
    settings = open_context(experiment).experiment.embedding_settings
    assert check_encoder(settings.encoder).state == "ok"
    manifest, store = open_store(open_context(experiment))
    embed(store, manifest, settings, lambda _: None)
    assert store.failures() == [] and store.header.shape == (2, *grid, 32)
    assert EncoderSpec.from_json(store.header.encoder) == encoder_spec(settings.encoder)
    assert store.header.encoder["name"] == f"huggingface:{family}" and store.header.encoder["config_sha256"]

    encoder = load_encoder(settings.encoder)
    kept = TokenReader(store, manifest.table["video_id"].to_pylist()).evaluation_views(np.array([1]))[0, 0]
    path = manifest.table["path"][1].as_py()
    with Decoder(settings.decoding) as decoder:
        video = decoder.decode(path, settings.clips, short_side(settings.views, 32))
    assert isinstance(video, DecodedVideo)
    pixels = torch.from_numpy(video.frames), torch.from_numpy(video.clips)
    clips = evaluation_clips(
        *pixels, settings.views, resolution=32, mean=encoder.spec.mean, std=encoder.spec.std
    ).flatten(0, 1)
    torch.testing.assert_close(kept, encoder(clips).reshape(-1, 32).half(), rtol=2e-3, atol=2e-3)

    probe = build_probe("linear", PARAMS, dim=32, num_classes=3, seed=0).eval()
    torch.nn.init.normal_(next(iter(probe.parameters())), generator=torch.Generator().manual_seed(0))
    model = ExportedModel.of(
        store.header, settings.encoder, [Winner(0, probe, RECORD)], label_names="abc", dataset="faces", hashes={}
    )
    model.save(Storage.at(tmp_path / "model"))
    moved = (tmp_path / "models" / family).rename(tmp_path / "moved")
    gone = check_encoder(settings.encoder)
    assert gone.state == "error" and "there is no such folder" in gone.text
    loaded = ExportedModel.load(Storage.at(tmp_path / "model"))
    with pytest.raises(UserError, match="there is no such folder.*or give the file or folder .* with --weights"):
        loaded.with_encoder()
    with Predictor(loaded.with_encoder(weights=str(moved), device="cpu")) as predictor:
        found = predictor.predict(path)
    expected = predict_probabilities(TensorTokens(kept[None, None]), np.arange(1), [probe], device="cpu")[0, 0]
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-3)
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    with pytest.raises(UserError, match="these are other settings"):
        loaded.with_encoder(weights=str(moved))


def test_a_video_model_takes_its_own_number_of_frames_alone(tmp_path: Path, write_video: WriteVideo) -> None:
    write_model(tmp_path / "vjepa2", "vjepa2")
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 2))
    experiment = write_experiment(tmp_path, videos, encoder=f"huggingface:{tmp_path / 'vjepa2'}")
    with pytest.raises(UserError, match="clips.frames_per_clip is 16, and the encoder huggingface:vjepa2 takes 8"):
        open_store(open_context(experiment))
