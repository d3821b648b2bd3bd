"""What a pack of probes says about videos: logits of a batch, class probabilities of whole lists."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distributed.readout import PreparedTokens, prepare, readout
from distributed.token_source import Rows, TokenSource
from search_spaces.probe import Probe


def pack_logits(probes: Sequence[Probe], tokens: PreparedTokens) -> list[Tensor]:
    """Logits float[B, C] of each probe, from one readout."""
    queries = [probe.queries() for probe in probes]
    parts = torch.split(readout(tokens, torch.cat(queries)), [len(rows) for rows in queries], dim=1)
    return [probe.classify(part) for probe, part in zip(probes, parts, strict=True)]


def predict_probabilities(
    tokens: TokenSource, rows: Rows, probes: Sequence[Probe], *, device: str | torch.device, batch: int = 32
) -> npt.NDArray[np.float32]:
    """Softmax of every probe, averaged over the views of each video: float32[P, B, C] for P probes, B videos.

    `batch` videos are read at a time. The probes are moved to the device; they come back in their mode.
    """
    modes = [probe.training for probe in probes]
    parts = []
    with torch.no_grad():
        for probe in probes:
            probe.to(device).eval()
        for start in range(0, len(rows), batch):
            views = tokens.evaluation_views(rows[start : start + batch]).to(device)
            logits = pack_logits(probes, prepare(views.flatten(0, 1)))
            softmax = torch.stack(logits).softmax(dim=-1)
            parts.append(softmax.view(len(probes), *views.shape[:2], -1).mean(dim=2))
        for probe, mode in zip(probes, modes, strict=True):
            probe.train(mode)
    return torch.cat(parts, dim=1).cpu().numpy()
