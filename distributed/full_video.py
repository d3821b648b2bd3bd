"""Full-video evaluation: every window of every test video, scored by the winner of the video's own fold.

The recipe is the full-video evaluation of lennarteingunia/vjepa-for-fer: windows of the whole video, and a
video's class is the argmax of the mean softmax over them; the vote of the windows stands beside it. Frames are
decoded, encoded and scored in one Ray Data graph, and only class probabilities are kept.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict, Field

from distributed.cluster import GRAPH_OPTIONS, rows_of_graph
from distributed.cropping import WHOLE, Crops
from distributed.embedding import allowed_failures, decode_cpus, encoder_pool, quiet_data_context
from distributed.embedding_workers import EmbeddingSettings
from distributed.encoders import check_weights, load_encoder
from distributed.errors import UserError
from distributed.folds import Fold
from distributed.labelled_tokens import LabelledTokens
from distributed.placement import decode_options
from distributed.scoring import Probabilities, Scorer, UnusableTokensError
from distributed.search import Record
from distributed.storage import Storage
from distributed.threads import use_threads
from distributed.token_store import StoreHeader
from distributed.views import short_side
from distributed.window_scores import OpenPart, fold_records
from distributed.windows import decode_windows
from distributed.winners import Winner, load_winner


class FullVideoConfig(BaseModel):
    """Which windows of a video are scored: `stride` frames lie between the starts of two."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stride: int = Field(1, ge=1)


@dataclass(frozen=True)
class FullVideoEvaluation:
    """The test videos of all folds and the evaluation in `results`, whose winners score them.

    `videos` has the columns video_id, path, fold and label (a place in `label_names`). What is finished lies in
    `folder`, a file for each part of `videos_per_task` videos.
    """

    videos: pa.Table
    label_names: tuple[str, ...]
    header: StoreHeader
    settings: EmbeddingSettings
    stride: int
    results: Storage
    folder: Storage
    crops: Crops = WHOLE

    @property
    def parts(self) -> int:
        return -(-len(self.videos) // self.settings.embedding.videos_per_task)

    def part(self, number: int) -> pa.Table:
        size = self.settings.embedding.videos_per_task
        table = self.videos.slice(number * size, size)
        return table.append_column("part", pa.array([number] * len(table), pa.int64()))

    def winners(self) -> dict[int, Winner]:
        """By fold; raises UserError where one is missing."""
        sizes = {"dim": self.header.shape[-1], "num_classes": len(self.label_names)}
        folds = sorted(set(self.videos["fold"].to_pylist()))
        return {fold: load_winner(self.results, fold, **sizes) for fold in folds}

    @property
    def most_windows(self) -> int:
        """Windows whose views fill a pass of the encoder."""
        return max(1, self.settings.embedding.clips_in_pass // len(self.header.clean_views))


def videos_of_folds(tokens: LabelledTokens, folds: Sequence[Fold], paths: Mapping[str, str]) -> pa.Table:
    """The videos that are tested, each with its one fold; `paths` by video id."""
    rows = [(tokens.video_ids[row], fold.index, int(tokens.labels[row])) for fold in folds for row in fold.test]
    ids, numbers, labels = zip(*sorted(rows), strict=True)
    return pa.table(
        {
            "video_id": ids,
            "path": [paths[video_id] for video_id in ids],
            "fold": pa.array(numbers, pa.int64()),
            "label": pa.array(labels, pa.int64()),
        }
    )


def evaluate_full_video(evaluation: FullVideoEvaluation, on_progress: Callable[[int, int, int], None]) -> list[Record]:
    """Score what is not scored yet; `on_progress` hears the videos done, in all, and failed.

    A part with a video that failed is tried again by the next call.

    Returns a record for each fold (see `window_scores.fold_records`).

    Raises:
        UserError: the encoder's weights do not fit, or more videos fail than `max_failures` allows; what is
            scored stays.
    """
    done = _finished(evaluation)
    total = len(evaluation.videos)
    failures: list[str] = []
    num_done = sum(len(table) for table in done.values())
    on_progress(num_done, total, 0)
    open_parts = {part: OpenPart(evaluation.part(part)) for part in range(evaluation.parts) if part not in done}
    if open_parts:
        check_weights(evaluation.settings.encoder)
    for row in rows_of_graph(_run_graph, evaluation, sorted(open_parts)) if open_parts else ():
        part = open_parts[row["part"]]
        part.add(row)
        if part.complete:
            table = part.table()
            sink = io.BytesIO()
            parquet.write_table(table, sink)
            evaluation.folder.write_bytes(_part_name(row["part"]), sink.getvalue())
            done[row["part"]] = table
            num_done += len(table)
            failures += [f"{row['video_id']}: {row['reason']}" for row in table.to_pylist() if row["reason"]]
            on_progress(num_done, total, len(failures))
            _check_failures(failures, total, evaluation.settings.max_failures)
    return fold_records(pa.concat_tables([done[part] for part in sorted(done)]), evaluation.label_names)


def _check_failures(failures: Sequence[str], total: int, share: float) -> None:
    allowed = allowed_failures(total, share)
    if len(failures) > allowed:
        listed = "\n".join(f"  {failure}" for failure in failures[:20])
        raise UserError(
            f"{len(failures)} of {total} videos could not be scored, and data.max_failures allows {allowed}:\n{listed}"
            "\nMend these files, or raise data.max_failures, and run the command again: what is scored stays."
        )


def _part_name(part: int) -> str:
    return f"part-{part:06d}.parquet"


def _finished(evaluation: FullVideoEvaluation) -> dict[int, pa.Table]:
    there = set(evaluation.folder.names())
    tables = {
        part: parquet.read_table(pa.BufferReader(evaluation.folder.read_bytes(_part_name(part))))
        for part in range(evaluation.parts)
        if _part_name(part) in there
    }
    return {part: table for part, table in tables.items() if not any(table["reason"].to_pylist())}


@ray.remote(**GRAPH_OPTIONS)  # type: ignore[untyped-decorator]
def _run_graph(evaluation: FullVideoEvaluation, parts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows of `ScoreWindows` as they come."""
    quiet_data_context()
    tables = [evaluation.part(part).select(["part", "video_id", "path", "fold"]) for part in parts]
    pieces = ray.data.from_blocks(tables).map_batches(
        decode_windows,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={
            "decoding": evaluation.settings.decoding,
            "clips": evaluation.settings.clips,
            "stride": evaluation.stride,
            "short_side": short_side(evaluation.settings.views, evaluation.header.encoder["resolution"]),
            "most_windows": evaluation.most_windows,
            "crops": evaluation.crops,
        },
        num_cpus=decode_cpus(evaluation.settings.embedding),
        **decode_options(),
    )
    # Not `map_batches`: with GPUs it refuses whole blocks as batches.
    scored = pieces.map_batches_internal(
        ScoreWindows,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs={"evaluation": evaluation},
        **encoder_pool(evaluation.settings.embedding, len(parts)),
    )
    yield from scored.iter_rows()


class ScoreWindows:
    """An actor that holds the encoder and every fold's winner, and turns decoded windows into probabilities."""

    def __init__(self, evaluation: FullVideoEvaluation) -> None:
        use_threads(1)
        settings, header = evaluation.settings, evaluation.header
        encoder = load_encoder(settings.encoder)
        self._frames = settings.clips.frames_per_clip
        self._scorers = {
            fold: Scorer(
                encoder=encoder,
                probes=[winner.probe],
                views=settings.views,
                pool=header.pool,
                dtype=header.dtype,
                clips_per_batch=settings.embedding.clips_in_pass,
            )
            for fold, winner in evaluation.winners().items()
        }

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([self._score(batch, index) for index in range(len(batch))], schema=_SCORED)

    def _score(self, batch: pa.Table, index: int) -> dict[str, Any]:
        row = {name: batch[name][index].as_py() for name in ("part", "video_id", "num_windows", "first", "reason")}
        if row["reason"]:
            return {**row, "windows": 0, "probabilities": []}
        frames = np.frombuffer(batch["pixels"][index].as_buffer(), np.uint8).copy()
        clips = np.array(batch["clips"][index].as_py(), np.int64)
        try:
            found: Probabilities = self._scorers[batch["fold"][index].as_py()].windows(
                frames.reshape(*batch["size"][index].as_py(), 3), clips.reshape(-1, self._frames)
            )[0]
        except UnusableTokensError as error:
            return {**row, "windows": 0, "probabilities": [], "reason": str(error)}
        return {**row, "windows": len(found), "probabilities": found.reshape(-1).tolist()}


_SCORED = pa.schema(
    {
        "part": pa.int64(),
        "video_id": pa.string(),
        "num_windows": pa.int64(),
        "first": pa.int64(),
        "windows": pa.int64(),
        "probabilities": pa.list_(pa.float32()),
        "reason": pa.string(),
    }
)
