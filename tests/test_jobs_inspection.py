"""`fersweep inspect` on a finished run, and on one whose probes look."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from distributed.inspection import verdicts
from jobs.evaluate import evaluate
from jobs.inspection import inspect_videos
from jobs.results import results_folder
from tests.finished_run import BROKEN, FinishedRun, listen, said

# A fold and a seed of its own, so that its scores lie beside those of other tests.
LOOKING = ("evaluate.selection=paper", "training.epochs=1", "seed=11")


def test_probes_that_read_means_are_said_to_look_nowhere(finished_run: FinishedRun, tmp_path: Path) -> None:
    context = finished_run.context
    first = verdicts(finished_run.evaluation, 1)[0].video_id
    assert inspect_videos(context, [first], None, str(tmp_path / "out")) == []
    assert f"fold 1, {first}: " in said(context)
    assert "nothing is drawn: the probe of fold 1 reads the mean of the tokens" in said(context)
    assert not (tmp_path / "out").exists()


def test_a_sheet_and_a_film_are_written_for_the_surest_of_a_fold(finished_run: FinishedRun, tmp_path: Path) -> None:
    with finished_run.changed(*LOOKING) as context:
        manifest = context.manifest()
        evaluate(context, manifest, context.store(manifest))
        names = inspect_videos(context, [], 0, str(tmp_path / "out"))
    found = verdicts(results_folder(context, manifest, context.store(manifest)), 0)
    expected = [next((one for one in found if one.is_hit == hit), None) for hit in (False, True)]
    for verdict in filter(None, expected):
        name = f"fold-0-{verdict.video_id.replace('/', '-')}"
        assert {f"{name}.png", f"{name}.mp4"} <= set(names)
    assert 2 <= len(names) <= 8 and sorted(names) == sorted(file.name for file in (tmp_path / "out").iterdir())
    png = (tmp_path / "out" / names[0]).read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 10_000
    assert (tmp_path / "out" / names[1]).read_bytes()[4:8] == b"ftyp"


def test_what_was_not_tested_cannot_be_looked_at(finished_run: FinishedRun, tmp_path: Path) -> None:
    context, tested = finished_run.context, verdicts(finished_run.evaluation, 0)[0].video_id
    with pytest.raises(UserError, match="--fold 7: evaluated are the folds 0, 1; name one of them"):
        inspect_videos(context, [], 7, None)
    with pytest.raises(UserError, match=f"{BROKEN}: no test video of these folds; did you mean p0/happy-"):
        inspect_videos(context, [BROKEN], None, None)
    with pytest.raises(UserError, match=f"{tested}: no test video of these folds"):
        inspect_videos(context, [tested], 1, None)
    other = listen(finished_run.experiment, "evaluate.selection=paper", "training.epochs=2")
    with pytest.raises(UserError, match="no fold is evaluated with these settings; run `fersweep evaluate` first"):
        inspect_videos(other, [], None, None)
