"""The tables of a fold: its test videos alone, each with its own row and the probabilities in the classes' order."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from pyarrow import parquet

from distributed.fold_tables import Member, members_table, parquet_bytes, predictions_table
from tests.synthetic import NAMES, synthetic_tokens

SAID = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], np.float32)


def test_a_row_holds_the_video_its_truth_and_what_was_said(tmp_path: Path) -> None:
    tokens, _ = synthetic_tokens(tmp_path)
    rows = np.array([70, 3])  # of the last actor's sad face, of the first one's neutral
    table = predictions_table(tokens, rows, SAID)
    assert table.column_names == ["video_id", "actor", "true", "predicted", *(f"p_{name}" for name in NAMES)]
    assert table["video_id"].to_pylist() == ["a11/c2t0", "a00/c1t1"]
    assert table["actor"].to_pylist() == ["11", "00"]
    assert table["true"].to_pylist() == ["sad", "neutral"]
    assert table["predicted"].to_pylist() == ["neutral", "happy"]
    np.testing.assert_array_equal(np.stack([table[f"p_{name}"] for name in NAMES], axis=1), SAID)


def test_members_stand_below_each_other_and_come_back_from_their_bytes(tmp_path: Path) -> None:
    tokens, _ = synthetic_tokens(tmp_path)
    members = [Member("repeat", 0, None, 17, SAID), Member("ensemble", 0, None, None, SAID[::-1].copy())]
    written = members_table(tokens, np.array([70, 3]), members)
    table = parquet.read_table(io.BytesIO(parquet_bytes(written)))
    assert table.equals(written)
    assert table["role"].to_pylist() == ["repeat", "repeat", "ensemble", "ensemble"]
    assert table["seed"].to_pylist() == [17, 17, None, None] and table["trial"].to_pylist() == [None] * 4
    assert table["predicted"].to_pylist() == ["neutral", "happy", "happy", "neutral"]
