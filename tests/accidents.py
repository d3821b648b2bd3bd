"""Encoders that behave oddly, for the tests of what goes wrong and of how the work grows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch

from distributed.embedding_workers import EncodeParts
from distributed.encoding import extremes

DEADLY = "Actor_01/01-01-03-01-01-01-01"


class DiesOnOne(EncodeParts):
    """Its process is killed whenever a certain video is encoded, as by a machine whose memory runs out."""

    def _encoded(self, batch: pa.Table, videos: Sequence[int]) -> Any:
        if DEADLY in [batch["video_id"][index].as_py() for index in videos]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._encoded(batch, videos)


class Sleeps(EncodeParts):
    """It sleeps for `SECONDS` a part as if a GPU computed, so that one machine can play many."""

    SECONDS = 1.0

    def _encoded(self, batch: pa.Table, videos: Sequence[int]) -> Any:
        time.sleep(self.SECONDS)
        tokens = torch.zeros((len(self.store.header.clean_views), *self.store.header.shape), dtype=torch.float16)
        return [((tokens, extremes(tokens.float())),) for _ in videos]
