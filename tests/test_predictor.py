"""A prediction from a file is what the evaluation of its tokens wrote, and windows add up to the whole video."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from distributed.clips import window_indices
from distributed.cropping import FaceConfig
from distributed.decoding import DecodeFailure
from distributed.errors import UserError
from distributed.exported import ExportedModel
from distributed.predictor import Predictor, WindowScores
from distributed.storage import Storage
from distributed.views import ViewsConfig
from jobs.export import experiment_model
from tests.conftest import WriteVideo
from tests.finished_run import BROKEN, FOLDS, FinishedRun


@pytest.fixture(scope="module")
def model(finished_run: FinishedRun) -> ExportedModel:
    return experiment_model(finished_run.context).with_encoder()


@pytest.fixture(scope="module")
def predictor(model: ExportedModel) -> Iterator[Predictor]:
    with Predictor(model) as opened:
        yield opened


def paths_of(run: FinishedRun) -> dict[str, str]:
    table = run.manifest.table
    return dict(zip(table["video_id"].to_pylist(), table["path"].to_pylist(), strict=True))


def test_a_held_out_video_gets_the_probabilities_that_its_evaluation_wrote(
    finished_run: FinishedRun, model: ExportedModel
) -> None:
    """From the file instead of the store, with the fold's own probe; passes of other clips move the last bits."""
    paths = paths_of(finished_run)
    for fold in range(FOLDS):
        written = parquet.read_table(io.BytesIO(finished_run.evaluation.read_bytes(f"fold-{fold}.parquet")))
        with Predictor(model.fold(fold)) as predictor:
            for row in written.to_pylist()[:6]:
                found = predictor.predict(paths[row["video_id"]])
                assert not isinstance(found, DecodeFailure)
                expected = [row[f"p_{name}"] for name in model.label_names]
                np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_model_of_cut_videos_cuts_new_ones_and_asks_for_their_faces(
    finished_run: FinishedRun, model: ExportedModel, tmp_path: Path
) -> None:
    """A box over the middle half of both sides is the crop of the middle half, in a square frame."""
    path = paths_of(finished_run)["p3/sad-1"]
    middle = replace(model, views=ViewsConfig(centre_crop=0.5))
    face = replace(model, views=ViewsConfig(face=FaceConfig("", unit="fractions", margin=1.0)))
    face.save(Storage.at(tmp_path / "model"))
    face = ExportedModel.load(Storage.at(tmp_path / "model")).with_encoder()
    assert face.views.face == FaceConfig("", unit="fractions", margin=1.0)
    with pytest.raises(UserError, match="give the faces of the new ones with --faces TABLE: path, x0.* in fractions"):
        Predictor(face)
    with pytest.raises(UserError, match="trained on whole frames; leave --faces out"):
        Predictor(model, faces={})
    square = (0.25 + 0.25 * (64 - 48) / 64, 0.25, 0.75 - 0.25 * (64 - 48) / 64, 0.75)
    with Predictor(face, faces={path: square}) as one, Predictor(middle) as other, Predictor(model) as whole:
        cut, of_middle, plain = one.predict(path), other.predict(path), whole.predict(path)
        windows = list(one.windows(path, 4))
        lost = one.predict(paths_of(finished_run)["p3/sad-0"])
        lost_windows = list(one.windows(paths_of(finished_run)["p3/sad-0"], 4))
    # The centre crop of the encoder's view is taken after; both show the same square of the video.
    np.testing.assert_allclose(np.asarray(cut), np.asarray(of_middle), atol=1e-5)
    assert np.abs(np.asarray(cut) - np.asarray(plain)).max() > 1e-5
    assert len(windows) >= 1 and not isinstance(windows[0], DecodeFailure)
    assert isinstance(lost, DecodeFailure) and "no row" in lost.reason
    assert [isinstance(piece, DecodeFailure) for piece in lost_windows] == [True]


def test_a_prediction_is_the_mean_of_the_folds(
    finished_run: FinishedRun, model: ExportedModel, predictor: Predictor
) -> None:
    path = paths_of(finished_run)["p3/sad-1"]
    single = []
    for fold in range(FOLDS):
        with Predictor(model.fold(fold)) as one:
            single.append(np.asarray(one.predict(path)))
    np.testing.assert_allclose(np.asarray(predictor.predict(path)), np.mean(single, axis=0), atol=1e-6)
    assert np.abs(np.subtract(*single)).max() > 1e-4, "the folds' probes say the same"


def test_calibrated_folds_are_tempered_before_their_mean(finished_run: FinishedRun, model: ExportedModel) -> None:
    path = paths_of(finished_run)["p3/sad-1"]
    winners = [
        replace(winner, record={**winner.record, "temperature": value})
        for winner, value in zip(model.winners, (0.5, 2.0), strict=True)
    ]
    expected = []
    for fold, power in ((0, 2.0), (1, 0.5)):  # a temperature T takes probabilities to the power of 1 / T
        with Predictor(model.fold(fold)) as one:
            raised = np.asarray(one.predict(path)) ** power
        expected.append(raised / raised.sum())
    with Predictor(replace(model, winners=tuple(winners)), calibrated=True) as predictor:
        np.testing.assert_allclose(np.asarray(predictor.predict(path)), np.mean(expected, axis=0), atol=1e-5)
        (windows,) = predictor.windows(path, 1)
        assert isinstance(windows, WindowScores) and windows.probabilities.sum() == pytest.approx(1)
    unknown = replace(model, winners=(replace(winners[0], record={**winners[0].record, "temperature": None}),))
    with pytest.raises(UserError, match="fold 0: no temperature was fitted to its probabilities"):
        Predictor(unknown, calibrated=True)


def test_a_bad_video_is_a_failure_with_its_reason(finished_run: FinishedRun, predictor: Predictor) -> None:
    failure = DecodeFailure("the file is empty; copy it again")
    path = paths_of(finished_run)[BROKEN]
    assert predictor.predict(path) == failure
    assert list(predictor.windows(path, 1)) == [failure]


def test_a_video_shorter_than_a_window_is_one_window(
    predictor: Predictor, tmp_path: Path, write_video: WriteVideo
) -> None:
    path = str(write_video(tmp_path / "a.mp4", frames=20))
    (found,) = predictor.windows(path, 3)
    assert isinstance(found, WindowScores)
    assert found.probabilities.shape == (1, 2)
    assert (found.starts[0], found.stops[0]) == (0.0, pytest.approx(20 * 1001 / 30000))


def test_a_long_video_is_scored_window_by_window(
    model: ExportedModel, predictor: Predictor, tmp_path: Path, write_video: WriteVideo
) -> None:
    """Pieces of other sizes give the same windows, at the times that their plan says."""
    path = str(write_video(tmp_path / "a.mp4", frames=80))
    scores = [piece for piece in predictor.windows(path, 4) if isinstance(piece, WindowScores)]
    assert len(scores) == 1
    with Predictor(replace(model, clips_per_batch=5)) as other:
        pieces = [piece for piece in other.windows(path, 4) if isinstance(piece, WindowScores)]
    assert [len(piece.starts) for piece in pieces] == [5, 5, 2]
    joined = WindowScores.joined(pieces)
    np.testing.assert_allclose(joined.probabilities, scores[0].probabilities, atol=1e-4)
    plan = window_indices(80, frames_per_clip=16, frame_step=2, stride=4)
    np.testing.assert_allclose(joined.starts, plan[:, 0] * 1001 / 30000, rtol=1e-5)
    np.testing.assert_allclose(joined.stops - joined.starts, 32 * 1001 / 30000, rtol=1e-5)
