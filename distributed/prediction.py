"""What a pack of probes says about videos: logits of a batch, class probabilities of whole lists."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distributed.errors import UserError
from distributed.readout import PreparedTokens, prepare, readout
from distributed.token_source import Rows, TokenSource
from search_spaces.probe import Probe


def pack_logits(probes: Sequence[Probe], tokens: PreparedTokens) -> list[Tensor]:
    """Logits float[B, C] of each probe, from one readout for each number of parts that a video is cut into.

    Raises UserError when a probe that reads videos in parts was made for another number of tokens.
    """
    count = tokens.values.shape[1]
    for probe in probes:
        if probe.num_tokens not in (None, count):
            raise UserError(
                f"the probe reads a video in {max(probe.scales)} parts of its {probe.num_tokens} tokens, and this one "
                f"has {count}; give it videos with the clips and pooling it was trained on, or search another family"
            )
    queries = [probe.queries() for probe in probes]
    reads: list[list[Tensor]] = [[] for _ in probes]
    for parts in sorted({scale for probe in probes for scale in probe.scales}):
        there = [i for i, probe in enumerate(probes) if parts in probe.scales]
        read = readout(tokens.cut(parts), torch.cat([queries[i] for i in there]))
        for i, own in zip(there, torch.split(read, [len(queries[i]) for i in there], dim=1), strict=True):
            reads[i].append(own.reshape(len(tokens), -1, own.shape[-1]))
    joined = [own[0] if len(own) == 1 else torch.cat(own, dim=1) for own in reads]
    return [probe.classify(own) for probe, own in zip(probes, joined, strict=True)]


def predict_probabilities(
    tokens: TokenSource, rows: Rows, probes: Sequence[Probe], *, device: str | torch.device, batch: int = 32
) -> npt.NDArray[np.float32]:
    """Softmax of every probe, averaged over the views of each video: float32[P, B, C] for P probes, B videos.

    `batch` videos are read at a time. The probes are moved to the device; they come back in their mode.
    """
    for probe in probes:
        probe.to(device)

    def read(part: Rows) -> tuple[PreparedTokens, int]:
        views = tokens.evaluation_views(part).to(device)
        return prepare(views.flatten(0, 1)), views.shape[1]

    return probabilities_of(read, rows, probes, batch=batch)


def probabilities_of(
    read: Callable[[Rows], tuple[PreparedTokens, int]], rows: Rows, probes: Sequence[Probe], *, batch: int = 32
) -> npt.NDArray[np.float32]:
    """The same of tokens that `read` gives: all views of each of some videos, and how many views a video has."""
    modes = [probe.training for probe in probes]
    parts = []
    with torch.no_grad():
        for probe in probes:
            probe.eval()
        for start in range(0, len(rows), batch):
            prepared, views = read(rows[start : start + batch])
            softmax = torch.stack(pack_logits(probes, prepared)).softmax(dim=-1)
            parts.append(softmax.view(len(probes), -1, views, softmax.shape[-1]).mean(dim=2))
        for probe, mode in zip(probes, modes, strict=True):
            probe.train(mode)
    return torch.cat(parts, dim=1).cpu().numpy()
