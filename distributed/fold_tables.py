"""What a fold's probes said about its test videos, as tables to keep."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from pyarrow import parquet

from distributed.labelled_tokens import LabelledTokens, Rows
from distributed.refits import Probabilities


@dataclass(frozen=True)
class Member:
    """Who gave the probabilities float32[B, C]: a repeat of the winner, another configuration, or their mean.

    A repeat may have been trained without the augmented passes.

    An ensemble's first member is the winner's repeat 0, so others count from 1. The mean has no trial and no
    seed, the fixed recipe no trial.
    """

    role: Literal["repeat", "member", "ensemble", "without_passes"]
    number: int
    trial: int | None
    seed: int | None
    probabilities: Probabilities


def predictions_table(tokens: LabelledTokens, rows: Rows, probabilities: Probabilities) -> pa.Table:
    """A row per video of `rows`: `video_id`, `actor`, `true`, `predicted`, and a `p_<class>` for every class."""
    names = tokens.label_names
    return pa.table(
        {
            "video_id": [tokens.video_ids[row] for row in rows],
            "actor": [tokens.actors[row] for row in rows],
            "true": [names[tokens.labels[row]] for row in rows],
            "predicted": [names[index] for index in probabilities.argmax(axis=1)],
            **{f"p_{name}": probabilities[:, index] for index, name in enumerate(names)},
        }
    )


def members_table(tokens: LabelledTokens, rows: Rows, members: Sequence[Member]) -> pa.Table:
    """The predictions of every member below each other, with its `role`, `number`, `trial` and `seed`."""
    tables = []
    for member in members:
        table, size = predictions_table(tokens, rows, member.probabilities), len(rows)
        table = table.append_column("role", pa.array([member.role] * size))
        for name in ("number", "trial", "seed"):
            table = table.append_column(name, pa.array([getattr(member, name)] * size, pa.int64()))
        tables.append(table)
    return pa.concat_tables(tables)


def parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()
