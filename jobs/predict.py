"""`fersweep predict`: class probabilities of new videos, of the whole or over time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from distributed.annotation import annotate_video
from distributed.cropping import Box, FaceConfig
from distributed.datasets import VIDEO_SUFFIXES
from distributed.decoding import DecodeFailure, DecodingConfig
from distributed.errors import UserError
from distributed.exported import MODEL, ExportedModel
from distributed.face_boxes import read_boxes
from distributed.predictor import Predictor, WindowScores
from distributed.storage import Storage
from jobs.experiment import load_experiment
from jobs.predictions import Output, Row, window_rows
from jobs.show import Format
from tracking.drawing import to_png
from tracking.timeline import probability_timeline

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Asked:
    """What is wanted of every video; `stride` is in frames."""

    form: Format = Format.TABLE
    windows: bool = False
    stride: int = 1
    timeline: Path | None = None
    annotate: Path | None = None
    calibrated: bool = False
    faces: str | None = None

    def check(self, num_videos: int) -> None:
        """Raise UserError for wishes that do not fit together."""
        if not self.windows and (self.timeline or self.annotate or self.stride != 1):
            raise UserError("--stride, --timeline and --annotate need --windows: they show probabilities over time")
        if self.stride < 1:
            raise UserError(f"--stride is {self.stride}; it must be at least 1 frame")
        if self.timeline and self.timeline.suffix.lower() != ".png":
            raise UserError(f"--timeline is {self.timeline}; it is a PNG file, so let its name end in .png")
        if num_videos != 1 and (self.timeline or self.annotate):
            raise UserError(f"--timeline and --annotate take one video, and {num_videos} are given")


def read_decoding(model: str) -> DecodingConfig:
    """The limits that an experiment file sets, or those that hold by default with any other model."""
    place = Path(model)
    return load_experiment(place).decoding if place.is_file() and place.name != MODEL else DecodingConfig()


def find_videos(names: Sequence[str]) -> list[str]:
    """The videos that names, folders (with all below) and patterns stand for, in order, each once.

    Raises:
        UserError: a folder or a pattern stands for none.
    """
    found: list[str] = []
    for name in names:
        path = Path(name).expanduser()
        if "://" in name or (not path.is_dir() and not _MAGIC.search(name)) or path.is_file():
            found.append(name)
            continue
        below = Path(path.anchor)
        matches = path.rglob("*") if path.is_dir() else below.glob(str(path.relative_to(below)))
        videos = sorted(str(m) for m in matches if m.suffix.lower() in VIDEO_SUFFIXES and m.is_file())
        if not videos:
            raise UserError(f"{name}: stands for no video; looked for {', '.join(sorted(VIDEO_SUFFIXES))}")
        found += videos
    return list(dict.fromkeys(found))


def predict_videos(
    model: ExportedModel,
    videos: Sequence[str],
    asked: Asked,
    console: Console,
    decoding: DecodingConfig | None = None,
) -> int:
    """Print what the model says of every video; returns how many failed, each a row with its reason."""
    folds = [str(winner.fold) for winner in model.winners]
    whose = f"the probe of fold {folds[0]}" if len(folds) == 1 else f"the mean over the probes of {len(folds)} folds"
    how = "calibrated" if asked.calibrated else "as they are, not calibrated"
    console.print(f"probabilities: {whose}, trained on {model.dataset}; {how}", soft_wrap=True)
    failed, output = 0, Output(model.label_names, asked.form)
    faces = _faces(asked.faces, videos, model) if asked.faces else None
    with Predictor(model, decoding, calibrated=asked.calibrated, faces=faces) as predictor:
        for video in videos:
            rows = _timed(predictor, video, asked) if asked.windows else _whole(predictor, video)
            failed += any(row.reason for row in rows)
            output.add(rows)
    output.end()
    if failed:
        console.print(f"{failed} of {len(videos)} videos could not be predicted", soft_wrap=True)
    return failed


def _faces(table: str, videos: Sequence[str], model: ExportedModel) -> dict[str, Box]:
    """The boxes of these videos, whose rows have their path as it is given or the same file's."""
    by_file = {str(Path(video).absolute()): video for video in videos if "://" not in video}

    def video_of(name: str, column: str) -> str | None:
        if column != "path":
            raise UserError(f"{table}: new videos have no id; give the column path instead of {column}")
        return name if name in videos else by_file.get(str(Path(name).absolute()))

    return read_boxes(table, video_of, model.views.face or FaceConfig(table))


def _whole(predictor: Predictor, video: str) -> list[Row]:
    found = predictor.predict(video)
    return [Row(video, reason=found.reason) if isinstance(found, DecodeFailure) else Row(video, found)]


def _timed(predictor: Predictor, video: str, asked: Asked) -> list[Row]:
    pieces = []
    for piece in predictor.windows(video, asked.stride):
        if isinstance(piece, DecodeFailure):
            return [Row(video, reason=piece.reason)]
        pieces.append(piece)
    scores, names = WindowScores.joined(pieces), predictor.model.label_names
    if asked.timeline:
        middles = (scores.starts + scores.stops) / 2
        figure = probability_timeline(middles, scores.probabilities, names, title=Path(video).name)
        Storage.at(asked.timeline.absolute().parent).write_bytes(asked.timeline.name, to_png(figure))
    if asked.annotate:
        annotate_video(video, asked.annotate, scores, names)
    return window_rows(video, scores)
