"""What the file names of RAVDESS and CREMA-D say about their videos.

Names are read strictly: a video whose name says something that the dataset does not contain is listed with
the reason, never guessed. Names: Livingstone and Russo 2018 (RAVDESS), Cao et al. 2014 (CREMA-D).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

Value = str | int | float

VIDEO_SUFFIXES = frozenset({".mp4", ".flv", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg"})

# In the order of RAVDESS's codes, which start at 01. Song has the first six.
RAVDESS_LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
RAVDESS_SONG_LABELS = RAVDESS_LABELS[:6]
_RAVDESS_MODALITIES = ("audio-video", "video-only", "audio-only")
_RAVDESS_FIELDS: tuple[tuple[str, tuple[Value, ...]], ...] = (
    ("modality", _RAVDESS_MODALITIES),
    ("channel", ("speech", "song")),
    ("emotion", RAVDESS_LABELS),
    ("intensity", ("normal", "strong")),
    ("statement", ("kids", "dogs")),
    ("repetition", (1, 2)),
)

# The codes in alphabetical order, which is the order of the labels.
CREMA_D_LABELS = ("angry", "disgust", "fearful", "happy", "neutral", "sad")
_CREMA_D_EMOTIONS = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), CREMA_D_LABELS, strict=True))
_CREMA_D_SENTENCES = ("DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI")
_CREMA_D_LEVELS = ("LO", "MD", "HI", "XX")
_UNKNOWN_ACTOR: Mapping[str, Value] = {"age": -1, "sex": "unknown", "race": "unknown", "ethnicity": "unknown"}


class OddNameError(ValueError):
    """A video's name that the dataset does not contain; the message is the reason."""


@dataclass(frozen=True)
class Skipped:
    """A video below the root that is not in the manifest: its path below the root and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Video:
    """One video: its path below the root, and what is known of it. `extra` has the same keys in a dataset."""

    file: str
    label_name: str
    actor: str
    extra: Mapping[str, Value]


@dataclass(frozen=True)
class Reading:
    """What a reader found; `num_not_chosen` counts sound videos of a modality or channel nobody asked for."""

    videos: list[Video]
    label_names: tuple[str, ...]
    skipped: list[Skipped] = field(default_factory=list)
    num_not_chosen: int = 0


def read_ravdess(files: Sequence[str], *, modality: str, channels: Sequence[str]) -> Reading:
    """The videos of one modality code ("01") and some channels, among files by their paths below the root."""
    videos, skipped = _read_names(files, parse_ravdess)
    wanted = _RAVDESS_MODALITIES[int(modality) - 1]
    chosen = [v for v in videos if v.extra["modality"] == wanted and v.extra["channel"] in channels]
    labels = RAVDESS_LABELS if "speech" in channels else RAVDESS_SONG_LABELS
    return Reading(chosen, labels, skipped, len(videos) - len(chosen))


def read_crema_d(files: Sequence[str], actors: Mapping[str, Mapping[str, Value]]) -> Reading:
    """The videos of CREMA-D, joined with what `tables.read_demographics` knows of their actors."""
    videos, skipped = _read_names(files, parse_crema_d)
    joined = [Video(v.file, v.label_name, v.actor, {**v.extra, **actors.get(v.actor, _UNKNOWN_ACTOR)}) for v in videos]
    return Reading(joined, CREMA_D_LABELS, skipped)


def parse_ravdess(file: str) -> Video:
    """What a RAVDESS path (`Actor_12/02-01-06-01-02-01-12.mp4`) says.

    Raises:
        OddNameError: the name is not one of the dataset, or disagrees with the actor's folder it lies in.
    """
    path = PurePosixPath(file)
    if not re.fullmatch("[0-9]{2}(-[0-9]{2}){6}", path.stem):
        raise OddNameError("not a RAVDESS name: seven two-digit fields joined by hyphens")
    *codes, actor = path.stem.split("-")
    fields = {name: _decode(name, code, values) for (name, values), code in zip(_RAVDESS_FIELDS, codes, strict=True)}
    emotion = str(fields.pop("emotion"))
    if not 1 <= int(actor) <= 24:
        raise OddNameError(f"actor {actor} is not one of 01 to 24")
    if emotion == "neutral" and fields["intensity"] == "strong":
        raise OddNameError("neutral has no strong intensity")
    if fields["channel"] == "song" and emotion not in RAVDESS_SONG_LABELS:
        raise OddNameError(f"song has no {emotion}")
    folders = [name for name in path.parts[:-1] if re.fullmatch("Actor_[0-9]+", name)]
    if folders and int(folders[-1].removeprefix("Actor_")) != int(actor):
        raise OddNameError(f"the name says actor {actor}, the folder {folders[-1]}")
    return Video(file, emotion, actor, {**fields, "sex": "male" if int(actor) % 2 else "female"})


def _decode(name: str, code: str, values: Sequence[Value]) -> Value:
    if not 1 <= int(code) <= len(values):
        raise OddNameError(f"{name} {code} is not one of 01 to {len(values):02d}")
    return values[int(code) - 1]


def parse_crema_d(file: str) -> Video:
    """What a CREMA-D path (`VideoFlash/1001_IEO_ANG_HI.flv`) says.

    Raises:
        OddNameError: the name is not one of the dataset.
    """
    parts = PurePosixPath(file).stem.split("_")
    if len(parts) != 4:
        raise OddNameError("not a CREMA-D name: ACTOR_SENTENCE_EMOTION_LEVEL")
    actor, sentence, emotion, level = parts
    if not re.fullmatch("[0-9]{4}", actor) or not 1001 <= int(actor) <= 1091:
        raise OddNameError(f"actor {actor} is not one of 1001 to 1091")
    choices = (
        ("sentence", sentence, _CREMA_D_SENTENCES),
        ("emotion", emotion, tuple(_CREMA_D_EMOTIONS)),
        ("level", level, _CREMA_D_LEVELS),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            raise OddNameError(f"{name} {value} is not one of {', '.join(allowed)}")
    return Video(file, _CREMA_D_EMOTIONS[emotion], actor, {"sentence": sentence, "level": level})


def _read_names(files: Sequence[str], parse: Callable[[str], Video]) -> tuple[list[Video], list[Skipped]]:
    """Files that are no videos (sound, tables, notes) are none of a reader's business."""
    videos: list[Video] = []
    skipped: list[Skipped] = []
    for file in sorted(files):
        if PurePosixPath(file).suffix.lower() in VIDEO_SUFFIXES:
            try:
                videos.append(parse(file))
            except OddNameError as odd:
                skipped.append(Skipped(file, str(odd)))
    return videos, skipped
