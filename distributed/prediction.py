"""What a pack of probes says about videos: logits of a batch, class probabilities of whole lists."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distributed.errors import UserError
from distributed.readout import PreparedTokens, prepare, readout, standardise
from distributed.token_source import Rows, TokenSource
from search_spaces.probe import MixingProbe, Probe

# Videos read at a time for probes that mix tokens, which takes several times their memory in float32.
_MIXED = 4


def pack_readouts(probes: Sequence[Probe], tokens: PreparedTokens | Tensor) -> list[Tensor]:
    """What each probe's rows read, float[B, rows, D], from one readout for each number of parts of a video.

    `tokens` [B, N, D] are prepared for all of the probes, or as they were read: probes that mix tokens need them so.
    Raises UserError when a probe that reads videos in parts was made for another number of tokens.
    """
    count = (tokens if isinstance(tokens, Tensor) else tokens.values).shape[1]
    for probe in probes:
        if probe.num_tokens not in (None, count):
            raise UserError(
                f"the probe reads a video in {max(probe.scales)} parts of its {probe.num_tokens} tokens, and this one "
                f"has {count}; give it videos with the clips and pooling it was trained on, or search another family"
            )
    mixing = {i: probe for i, probe in enumerate(probes) if isinstance(probe, MixingProbe)}
    plain = [i for i in range(len(probes)) if i not in mixing]
    found: dict[int, Tensor] = {}
    if plain:
        prepared = prepare(tokens) if isinstance(tokens, Tensor) else tokens
        found |= dict(zip(plain, _shared_readouts([probes[i] for i in plain], prepared), strict=True))
    for i, probe in mixing.items():
        assert isinstance(tokens, Tensor), "prepared tokens can no longer be mixed"
        mixed = _mixed(probe, tokens)
        # Standardised as a whole: the piecewise readout gives tokens no gradient, and these need one.
        found |= {i: _shared_readouts([probe], PreparedTokens(standardise(mixed), None))[0]}
    return [found[i] for i in range(len(probes))]


def _mixed(probe: MixingProbe, tokens: Tensor) -> Tensor:
    """What a probe makes of tokens. Its authors train it under autocast too; norms and sums stay float32."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=_multiplies_in_bfloat16(tokens)):
        return probe.mix(tokens.to(torch.promote_types(tokens.dtype, torch.float32)))


def _multiplies_in_bfloat16(tokens: Tensor) -> bool:
    return tokens.is_cuda and tokens.dtype == torch.bfloat16


def _shared_readouts(probes: Sequence[Probe], tokens: PreparedTokens) -> list[Tensor]:
    queries = [probe.queries() for probe in probes]
    reads: list[list[Tensor]] = [[] for _ in probes]
    for parts in sorted({scale for probe in probes for scale in probe.scales}):
        there = [i for i, probe in enumerate(probes) if parts in probe.scales]
        read = readout(tokens.cut(parts), torch.cat([queries[i] for i in there]))
        for i, own in zip(there, torch.split(read, [len(queries[i]) for i in there], dim=1), strict=True):
            reads[i].append(own.reshape(len(tokens), -1, own.shape[-1]))
    return [own[0] if len(own) == 1 else torch.cat(own, dim=1) for own in reads]


def pack_logits(probes: Sequence[Probe], tokens: PreparedTokens | Tensor) -> list[Tensor]:
    """Logits float[B, C] of each probe; tokens and errors as in `pack_readouts`."""
    return [probe.classify(own) for probe, own in zip(probes, pack_readouts(probes, tokens), strict=True)]


def predict_probabilities(
    tokens: TokenSource, rows: Rows, probes: Sequence[Probe], *, device: str | torch.device, batch: int = 32
) -> npt.NDArray[np.float32]:
    """Softmax of every probe, averaged over the views of each video: float32[P, B, C] for P probes, B videos.

    At most `batch` videos are read at a time. The probes are moved to the device; they come back in their mode.
    """
    for probe in probes:
        probe.to(device)

    def read(parts: Sequence[Rows]) -> Iterator[tuple[Tensor, int]]:
        for part in parts:
            views = tokens.evaluation_views(part).to(device)
            yield views.flatten(0, 1), views.shape[1]

    return probabilities_of(read, rows, probes, batch=batch)


def probabilities_of(
    read: Callable[[Sequence[Rows]], Iterable[tuple[PreparedTokens | Tensor, int]]],
    rows: Rows,
    probes: Sequence[Probe],
    *,
    batch: int = 32,
) -> npt.NDArray[np.float32]:
    """The same of tokens that `read` gives of each batch in turn: all views of its videos, and how many a video has.

    They are prepared, or as they were read, as `pack_readouts` takes them.
    """
    modes = [probe.training for probe in probes]
    batch = min(batch, _MIXED) if any(isinstance(probe, MixingProbe) for probe in probes) else batch
    parts = []
    with torch.no_grad():
        for probe in probes:
            probe.eval()
        for tokens, views in read([rows[start : start + batch] for start in range(0, len(rows), batch)]):
            softmax = torch.stack(pack_logits(probes, tokens)).softmax(dim=-1)
            parts.append(softmax.view(len(probes), -1, views, softmax.shape[-1]).mean(dim=2))
        for probe, mode in zip(probes, modes, strict=True):
            probe.train(mode)
    return torch.cat(parts, dim=1).cpu().numpy()
