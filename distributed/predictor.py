"""Class probabilities of new videos, from their files to the probes of an exported model.

Decoding, views, encoder, pooling and the rounding to 16 bits are those of the embedding, so a video gets what
its tokens in the store would have given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distributed.calibration import apply_temperature
from distributed.cropping import Box, Crops
from distributed.decoding import DecodedVideo, DecodeFailure, Decoder, DecodingConfig
from distributed.encoders import load_encoder
from distributed.errors import UserError
from distributed.exported import ExportedModel, temperature_of
from distributed.face_boxes import alike, face_crops
from distributed.scoring import Probabilities, Scorer, UnusableTokensError
from distributed.views import short_side
from distributed.windows import WindowPiece, window_pieces
from distributed.winners import Winner

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WindowScores:
    """Probabilities float32[W, C] of windows that last from `starts` to `stops`, float64[W] in seconds."""

    starts: Seconds
    stops: Seconds
    probabilities: Probabilities

    @classmethod
    def joined(cls, pieces: Sequence[WindowScores]) -> WindowScores:
        """All windows of a video, in order."""
        return cls(
            np.concatenate([piece.starts for piece in pieces]),
            np.concatenate([piece.stops for piece in pieces]),
            np.concatenate([piece.probabilities for piece in pieces]),
        )


class Predictor:
    """A model with its encoder loaded and a decoding process of its own; `close` ends that.

    A prediction is the mean of the probabilities that the probes of the model's folds give, `calibrated` each with
    the temperature that its evaluation has fitted.
    """

    def __init__(
        self,
        model: ExportedModel,
        decoding: DecodingConfig | None = None,
        *,
        calibrated: bool = False,
        faces: Mapping[str, Box] | None = None,
    ) -> None:
        """Load the encoder of `model`, which `with_encoder` has checked.

        `faces` are boxes by the path of a video, in the model's unit, for a model that was trained on cut faces.

        Raises:
            UserError: a fold has no temperature to calibrate it with, or faces are needed and there are none.
        """
        self._crops = _crops(model, faces)
        self.model = model
        self._temperatures = [_temperature(winner) for winner in model.winners] if calibrated else None
        self._scorer = Scorer(
            encoder=load_encoder(model.encoder),
            probes=[winner.probe for winner in model.winners],
            views=model.views,
            pool=model.pool,
            dtype=model.dtype,
            clips_per_batch=model.clips_per_batch,
        )
        self._short_side = short_side(model.views, model.spec.resolution)
        self._decoder = Decoder(decoding or DecodingConfig())

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._decoder.close()

    def predict(self, path: str) -> Probabilities | DecodeFailure:
        """float32[C] of the segments of the whole video, as in the evaluation."""
        if reason := self._crops.missing(path):
            return DecodeFailure(reason)
        video = self._decoder.decode(path, self.model.clips, self._short_side, crop=self._crops.of(path))
        if not isinstance(video, DecodedVideo):
            return video
        try:
            found: Probabilities = self._mean(self._scorer.video(video.frames, video.clips)[:, None])[0]
        except UnusableTokensError as error:
            return DecodeFailure(str(error))
        return found

    def windows(self, path: str, stride: int) -> Iterator[WindowScores | DecodeFailure]:
        """Every window of the reference's full-video plan, some at a time; a failure ends them.

        Memory holds the frames of the windows of one pass of the encoder, however long the video is.
        """
        if reason := self._crops.missing(path):
            yield DecodeFailure(reason)
            return
        pieces = window_pieces(
            self._decoder,
            path,
            self.model.clips,
            stride=stride,
            short_side=self._short_side,
            most_windows=max(1, self.model.clips_per_batch // self.model.views.crops),
            crop=self._crops.of(path),
        )
        for piece in pieces:
            if not isinstance(piece, WindowPiece):
                yield piece
                return
            try:
                scores = self._mean(self._scorer.windows(piece.frames, piece.clips))
            except UnusableTokensError as error:
                yield DecodeFailure(str(error))
                return
            yield WindowScores(piece.starts, piece.stops, scores)

    def _mean(self, probabilities: Probabilities) -> Probabilities:
        """float32[P, n, C] of P probes to float32[n, C]."""
        found = probabilities.astype(np.float64)
        if self._temperatures is not None:
            pairs = zip(probabilities, self._temperatures, strict=True)
            found = np.stack([apply_temperature(values, temperature) for values, temperature in pairs])
        mean: Probabilities = found.mean(axis=0).astype(np.float32)
        return mean


def _crops(model: ExportedModel, faces: Mapping[str, Box] | None) -> Crops:
    config = model.views.face
    if config is not None and faces is None:
        raise UserError(
            "this model was trained on videos that were cut to a face; give the faces of the new ones with --faces "
            f"TABLE: path, x0, y0, x1, y1 in {config.unit}"
        )
    if config is None and faces is not None:
        raise UserError("this model was trained on whole frames; leave --faces out")
    if config is not None and faces is not None:
        return face_crops(faces, config)
    return alike(model.views)


def _temperature(winner: Winner) -> float:
    found = temperature_of(winner)
    if found is None:
        raise UserError(
            f"fold {winner.fold}: no temperature was fitted to its probabilities; evaluate with "
            "evaluate.calibrate=true, or ask for probabilities as the probes give them"
        )
    return found
