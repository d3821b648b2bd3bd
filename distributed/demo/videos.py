"""Two small data sets of drawn faces as real video files, named and encoded like RAVDESS and CREMA-D.

The people in them do not exist: every picture follows from integers. Names: Livingstone and Russo 2018
(RAVDESS), Cao et al. 2014 (CREMA-D).
"""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path

import av
import cv2

from distributed.demo.expressions import EMOTIONS, generator
from distributed.demo.faces import Frames, draw_clip
from distributed.demo.identity import draw_identity
from distributed.errors import UserError

Progress = Callable[[int, int], None]

RATE = Fraction(30000, 1001)
MIN_FRAMES, MAX_FRAMES = 40, 70

_CREMA_D_EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
# The first sentence is the one that CREMA-D's actors say at three levels.
_CREMA_D_SENTENCES = ("IEO", "DFA", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI")
_CREMA_D_LEVELS = {"LO": 0.85, "MD": 1.0, "HI": 1.15, "XX": 1.05}
_RAVDESS_INTENSITIES = (0.85, 1.1)


@dataclass(frozen=True)
class Format:
    """Container and codec of a data set, its options, and the pictures' (height, width) in pixels."""

    container: str
    codec: str
    options: dict[str, str]
    size: tuple[int, int]


# One thread, so that the bytes do not depend on the machine's cores.
RAVDESS_FORMAT = Format("mp4", "libx264", {"preset": "veryfast", "crf": "20", "threads": "1"}, (144, 256))
CREMA_D_FORMAT = Format("flv", "flv", {"flags": "+qscale", "global_quality": "472", "threads": "1"}, (156, 208))


@dataclass(frozen=True)
class Take:
    """One video to draw: where it goes below the root, and who shows what in it, how strongly."""

    file: str
    actor: int
    emotion: str
    number: int  # of this actor and emotion, from 0
    strength: float


def ravdess_takes(actors: Sequence[int], takes: int) -> list[Take]:
    """The videos of RAVDESS's layout: speech, with sound's modality code, `takes` for every actor and emotion.

    Raises:
        UserError: an actor is not one of 1 to 24, or `takes` not one of 1 to 4 (neutral has no more).
    """
    _check(actors, takes, range(1, 25), 4)
    chosen = []
    for actor, (code, emotion), number in product(actors, enumerate(EMOTIONS, start=1), range(takes)):
        statement, repetition = 1 + number % 2, 1 + number // 2
        # Which statement is the strong one changes from actor to actor and emotion to emotion.
        strong = emotion != "neutral" and (actor + code + number) % 2 == 1
        name = f"01-01-{code:02d}-{1 + strong:02d}-{statement:02d}-{repetition:02d}-{actor:02d}.mp4"
        file = f"Actor_{actor:02d}/{name}"
        chosen.append(Take(file, actor, emotion, number, _RAVDESS_INTENSITIES[strong]))
    return chosen


def crema_d_takes(actors: Sequence[int], takes: int) -> list[Take]:
    """The videos of CREMA-D's layout: `takes` sentences for every actor and emotion.

    Raises:
        UserError: an actor is not one of 1001 to 1091, or `takes` not one of 1 to 12.
    """
    _check(actors, takes, range(1001, 1092), len(_CREMA_D_SENTENCES))
    chosen = []
    for actor, (place, code), number in product(actors, enumerate(_CREMA_D_EMOTIONS), range(takes)):
        levelled = number == 0 and code != "NEU"
        level = ("LO", "MD", "HI")[(actor + place) % 3] if levelled else "XX"
        file = f"VideoFlash/{actor}_{_CREMA_D_SENTENCES[number]}_{code}_{level}.flv"
        chosen.append(Take(file, actor, _CREMA_D_EMOTIONS[code], number, _CREMA_D_LEVELS[level]))
    return chosen


def write_ravdess(
    root: Path,
    *,
    seed: int = 0,
    actors: Sequence[int] = range(1, 25),
    takes: int = 2,
    progress: Progress | None = None,
) -> int:
    """Write a data set in RAVDESS's names and format below `root`; returns how many videos were missing.

    Videos that are there are kept, whatever seed they came from. `progress` is called with the number of
    videos there and the number in all. The same arguments give the same bytes.

    Raises:
        UserError: see `ravdess_takes`.
    """
    return _write(root, ravdess_takes(actors, takes), RAVDESS_FORMAT, seed, progress)


def write_crema_d(
    root: Path,
    *,
    seed: int = 0,
    actors: Sequence[int] = range(1001, 1019),
    takes: int = 2,
    progress: Progress | None = None,
) -> int:
    """Write a data set in CREMA-D's names and format, and `VideoDemographics.csv`; see `write_ravdess`.

    Raises:
        UserError: see `crema_d_takes`.
    """
    chosen = crema_d_takes(actors, takes)
    _write_whole(root / "VideoDemographics.csv", demographics(actors, seed).encode())
    return _write(root, chosen, CREMA_D_FORMAT, seed, progress)


def demographics(actors: Sequence[int], seed: int) -> str:
    """CREMA-D's table of actors, as drawn. Nobody is behind a drawing: race and ethnicity are unknown."""
    text = io.StringIO()
    table = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    table.writerow(("ActorID", "Age", "Sex", "Race", "Ethnicity"))
    for actor in sorted(actors):
        drawn = draw_identity(actor, seed=seed)
        table.writerow((actor, drawn.age, drawn.sex, "Unknown", "Unknown"))
    return text.getvalue()


def num_frames(take: Take, seed: int) -> int:
    """How many frames a take lasts."""
    rng = generator(seed, take.actor, 31, EMOTIONS.index(take.emotion), take.number)
    return int(rng.integers(MIN_FRAMES, MAX_FRAMES + 1))


def _check(actors: Sequence[int], takes: int, known: range, most: int) -> None:
    if wrong := sorted(set(actors) - set(known)):
        raise UserError(f"actors {wrong} are not in the data set. Use actors {known[0]} to {known[-1]}")
    if not 1 <= takes <= most:
        raise UserError(f"takes is {takes}: use 1 to {most} for every actor and emotion")


def _write(root: Path, takes: list[Take], form: Format, seed: int, progress: Progress | None) -> int:
    report = progress or (lambda done, total: None)
    missing = [take for take in takes if not (root / take.file).exists()]
    done = len(takes) - len(missing)
    report(done, len(takes))
    for folder in sorted({(root / take.file).parent for take in missing}):
        folder.mkdir(parents=True, exist_ok=True)
    if missing:
        workers = min(os.cpu_count() or 1, len(missing))
        # Forking a process that has threads is not safe; a spawned one starts clean on every system.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_single_thread) as pool:
            for _ in pool.map(partial(write_take, root, form=form, seed=seed), missing, chunksize=4):
                done += 1
                report(done, len(takes))
    return len(missing)


def _single_thread() -> None:
    cv2.setNumThreads(1)


def write_take(root: Path, take: Take, *, form: Format, seed: int) -> None:
    """Draw, encode and write one video below `root`; it appears whole or not at all."""
    length = num_frames(take, seed)
    frames = draw_clip(
        take.actor,
        take.emotion,
        take.number,
        seed=seed,
        num_frames=length,
        size=form.size,
        strength=take.strength,
    )
    _write_whole(root / take.file, encode(frames, form))


def encode(frames: Frames, form: Format) -> bytes:
    """A video file of frames uint8[T, H, W, 3] RGB, without anything in it that changes from run to run."""
    file = io.BytesIO()
    with av.open(file, "w", format=form.container, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(form.codec, rate=RATE, options=form.options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half_written = path.with_name(path.name + ".part")
    half_written.write_bytes(data)
    half_written.replace(path)
