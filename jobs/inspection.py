"""`fersweep inspect`: where a fold's probe looked in single videos, as pictures and films."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from distributed.cluster import ray_session
from distributed.errors import UserError
from distributed.inspection import Look, Verdict, surest, thinned, verdicts
from distributed.storage import Storage
from jobs.context import Context
from jobs.insides import looks_of, shown
from jobs.results import fold_records, results_folder
from tracking.contact_sheets import attention_sheet, without_attention
from tracking.figures import to_png
from tracking.films import attention_film

_OF_EACH_KIND = 2  # mistakes and hits of a fold, when no video is named
_AT_ONCE = 2  # films are large
_FRAMES, _HEIGHT, _ROWS, _WIDTH = 8, 160, 4, 11.0  # of a sheet: frames, their pixels, rows; inches


def inspect_videos(context: Context, video_ids: Sequence[str], fold: int | None, output: str | None) -> list[str]:
    """Write a contact sheet (PNG) and a film (MP4) for each video; returns their names in the folder.

    Raises:
        UserError: nothing is evaluated, there is no such fold, or a video is not tested in it.
    """
    manifest = context.manifest()
    store = context.store(manifest)
    results = results_folder(context, manifest, store)
    scored = [record["fold"] for record in fold_records(context, manifest, store)]
    if not scored:
        raise UserError(f"{results.uri}: no fold is evaluated with these settings; run `fersweep evaluate` first")
    if fold is not None and fold not in scored:
        raise UserError(f"--fold {fold}: evaluated are the folds {', '.join(map(str, scored))}; name one of them")
    said = [verdicts(results, each) for each in scored if fold in (None, each)]
    chosen = _named(said, video_ids) if video_ids else _surest(said)
    folder = Storage.at(output) if output else results.child("inspect")
    written: list[str] = []
    with ray_session(context.experiment.cluster):
        for start in range(0, len(chosen), _AT_ONCE):
            batch = chosen[start : start + _AT_ONCE]
            for look in looks_of(context, manifest, store, batch, frames=None, height=_HEIGHT, rows=_ROWS):
                written += _write(context, folder, look)
    return written


def _surest(said: Sequence[Sequence[Verdict]]) -> list[Verdict]:
    return [one for fold in said for kind in ("mistakes", "hits") for one in surest(fold, kind, _OF_EACH_KIND)]


def _named(said: Sequence[Sequence[Verdict]], video_ids: Sequence[str]) -> list[Verdict]:
    """The named videos in the folds that test them."""
    known = {verdict.video_id: verdict for fold in said for verdict in fold}
    for video_id in video_ids:
        if video_id not in known:
            close = difflib.get_close_matches(video_id, known, n=1, cutoff=0.3)
            raise UserError(
                f"{video_id}: no test video of these folds; did you mean {close[0] if close else next(iter(known))}? "
                "All ids are in the manifest's column video_id"
            )
    return [known[video_id] for video_id in video_ids]


def _write(context: Context, folder: Storage, look: Look) -> list[str]:
    """The sheet and the film of a video, or a line on why there are none."""
    video = shown(look)
    line = f"fold {video.fold}, {video.video_id}: {video.verdict}"
    if not len(video.heats):
        context.say(f"{line}; nothing is drawn: {without_attention(video)}")
        return []
    name = f"fold-{video.fold}-{video.video_id.replace('/', '-')}"
    files = {
        f"{name}.png": to_png(attention_sheet(shown(thinned(look, _FRAMES)), _WIDTH)),
        f"{name}.mp4": attention_film(video),
    }
    for file, data in files.items():
        folder.write_bytes(file, data)
    context.say(f"{line}\n  {folder.uri}/{name}.png and .mp4")
    return list(files)
