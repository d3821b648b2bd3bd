"""An exported model as MLflow loads and serves it: paths of videos in, a table of probabilities out.

MLflow's pyfunc flavour imports this module by its name and hands it the exported folder, so nothing of a model is
unpickled and none of its code comes with it. This file knows nothing of MLflow.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from distributed.decoding import DecodeFailure
from distributed.errors import UserError
from distributed.exported import ExportedModel
from distributed.predictor import Predictor
from distributed.scoring import Probabilities
from distributed.storage import Storage

VARIABLE = "FERSWEEP_MODEL_"  # FERSWEEP_MODEL_ROOT=/data/videos and so for every key


class RefusedError(ValueError):
    """A path that is not opened; the message is the reason."""


class ServingConfig(BaseModel):
    """What may be set where a model is loaded.

    `weights`: where the encoder's weights lie there. `device`: auto, cpu or cuda. `root`: the one folder whose videos
    may be asked for, from which relative paths are read then. `uris`: whether other than local files may be. `fold`:
    the fold whose probe is asked alone. `calibrated`: with the temperatures of the evaluation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    weights: str = ""
    device: str = "auto"
    root: str = ""
    uris: bool = False
    fold: int | None = None
    calibrated: bool = False

    @classmethod
    def found(cls, given: Mapping[str, Any] | None) -> ServingConfig:
        """What is `given`, and for the keys that are not, or hold their defaults, the environment's variables.

        Raises:
            UserError: a key or a value is not known, or the root is no folder.
        """
        defaults, given = cls().model_dump(), dict(given or {})
        for key, default in defaults.items():
            variable = os.environ.get(f"{VARIABLE}{key.upper()}")
            if variable is not None and given.get(key, default) == default:
                given[key] = variable
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise UserError(f"the model's configuration: {wrong}; its keys are {', '.join(defaults)}") from error
        if config.root and not Path(config.root).is_dir():
            raise UserError(f"root: {config.root} is no folder; name the one that holds the videos")
        return config


class ServedModel:
    """A model ready to predict; it may be asked by several threads, one after another."""

    def __init__(self, model: ExportedModel, config: ServingConfig) -> None:
        """Load the encoder. Raises UserError: its weights are missing or others, or there is no such fold."""
        self._config = config
        self._label_names = model.label_names
        model = model if config.fold is None else model.fold(config.fold)
        found = model.with_encoder(weights=config.weights or None, device=config.device)
        self._predictor = Predictor(found, calibrated=config.calibrated)
        self._asked_by_one = threading.Lock()
        weakref.finalize(self, self._predictor.close)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """A row for every video: `video`, `predicted`, a `p_<class>` for every class, and `reason`.

        `model_input` is a list of paths or a table of one column. A video that cannot be predicted has its reason, and
        nothing in place of its probabilities; `reason` is empty for all others. `params` has no meaning here.

        Raises:
            ValueError: the input is neither, or holds something that is no text.
        """
        videos = paths_in(model_input)
        with self._asked_by_one:
            found = [self._one(video) for video in videos]
        names = [f"p_{name}" for name in self._label_names]
        rows = [
            [None] * (1 + len(names)) if isinstance(one, str) else [self._label_names[int(one.argmax())], *one.tolist()]
            for one in found
        ]
        # Python's numbers and None: as float32 a failed video would be NaN, which is no JSON.
        table = pd.DataFrame(rows, columns=["predicted", *names], dtype=object)
        if all(not isinstance(one, str) for one in found):
            table = table.astype(dict.fromkeys(names, "float32"))
        table.insert(0, "video", pd.Series(videos, dtype=object))
        table["reason"] = pd.Series([one if isinstance(one, str) else "" for one in found], dtype=object)
        return table

    def _one(self, video: str) -> Probabilities | str:
        """The probabilities float32[C] of a video, or why there are none."""
        try:
            place = video_place(video, self._config)
        except RefusedError as refusal:
            return str(refusal)
        found = self._predictor.predict(place)
        return found.reason if isinstance(found, DecodeFailure) else found


def paths_in(model_input: Any) -> list[str]:
    """The paths of a list or of a table's only column; raises ValueError as `ServedModel.predict`."""
    if isinstance(model_input, pd.DataFrame):
        if model_input.shape[1] != 1:
            raise ValueError(f"the table has {model_input.shape[1]} columns; give one, the paths of the videos")
        model_input = model_input.iloc[:, 0]
    if isinstance(model_input, str):
        model_input = [model_input]
    if not isinstance(model_input, Iterable) or isinstance(model_input, Mapping):
        raise ValueError(f"the input is a {type(model_input).__name__}; give a list of paths, or a table of one column")
    values = list(model_input)
    for value in values:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{value!r} is no path of a video; give a list of paths, or a table of one column")
    return [str(value) for value in values]


def video_place(video: str, config: ServingConfig) -> str:
    """Where a video that may be read lies; links are followed before its place is compared with the root.

    Raises:
        RefusedError: it may not be read, or is no file.
    """
    if "://" in video:
        parts = urlsplit(video)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            if config.uris:
                return video
            raise RefusedError("not a local file; other places are not read unless the model is loaded with uris")
        video = url2pathname(parts.path)
    try:
        place = (Path(config.root, video) if config.root else Path(video).expanduser()).resolve()
        if config.root and not place.is_relative_to(Path(config.root).resolve()):
            raise RefusedError("lies outside the folder that may be read")
        if not place.exists():
            raise RefusedError("the file does not exist; restore it or correct its path")
        if not place.is_file():  # a pipe or a device would hold the decoder up until its deadline
            raise RefusedError("a folder, a pipe or a device, and no video file")
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
        raise RefusedError(f"cannot be read ({error})") from error
    return str(place)


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> ServedModel:
    """The door that MLflow knocks at; `path` is the exported folder."""
    return ServedModel(ExportedModel.load(Storage.at(path)), ServingConfig.found(model_config))
