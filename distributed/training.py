"""Training a pack of probes on tokens that are read once for all of them.

Each probe is trained as if it were alone: its own weights, optimiser, batch size and random numbers. The
pack shares what is costly, the reading and standardising of tokens, and the readout of all probes that are
at the same step. A probe whose numbers stop being finite leaves the pack as failed; weaker ones leave it at
the rungs. A probe that mixes tokens can share nothing and is trained by itself.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from distributed.errors import UserError
from distributed.feeding import DeviceTokens, batch_size, cut, room
from distributed.halving import pruned, rung_epochs
from distributed.learner import Learner, Task, TrainingConfig
from distributed.metrics import confusion_matrix, uar, war
from distributed.prediction import pack_readouts, predict_probabilities, probabilities_of
from distributed.prepared_source import PreparedSource
from distributed.probe_results import CurveRow, ProbeResult, ProbeSpec, probe_record
from distributed.raw_source import RawSource
from distributed.readout import PreparedTokens
from distributed.token_source import Rows, TensorTokens, TokenSource
from distributed.within_memory import within_memory
from search_spaces.closed_form import balanced_weights
from search_spaces.family import FAMILIES

__all__ = [
    "ProbeResult",
    "ProbeSpec",
    "TensorTokens",
    "TokenSource",
    "TrainingConfig",
    "predict_probabilities",
    "probe_record",
    "train_pack",
]

OnEpoch = Callable[[int, dict[int, CurveRow]], None]


@dataclass(frozen=True)
class _Data:
    """What is learned from, and what is scored by; `names`: what videos are called in messages."""

    tokens: TokenSource
    labels: Rows
    train: Rows
    validation: Rows
    num_classes: int
    seed: int
    device: torch.device
    names: Sequence[str] | None


@dataclass
class _Run:
    """Probes that share reads of the tokens. `together`: how many of them take part in one readout."""

    data: _Data
    config: TrainingConfig
    source: PreparedSource | RawSource
    together: int
    learners: list[Learner] = field(default_factory=list)

    def leave(self) -> None:
        """Let those go that have ended, failed or were pruned."""
        self.learners = [one for one in self.learners if one.result.state == "complete" and not one.ended]

    def parts(self, learners: Sequence[Learner]) -> Iterator[list[Learner]]:
        """The learners, as many at a time as take part in one readout."""
        for start in range(0, len(learners), self.together):
            yield list(learners[start : start + self.together])


def train_pack(
    tokens: TokenSource,
    labels: Rows,
    train: Rows,
    validation: Rows,
    specs: Sequence[ProbeSpec],
    config: TrainingConfig,
    *,
    num_classes: int,
    seed: int,
    device: str = "cpu",
    on_epoch: OnEpoch | None = None,
    names: Sequence[str] | None = None,
) -> list[ProbeResult]:
    """Train a pack and return the results in the order of `specs`.

    `labels` int64[num_videos] holds the class of every video of `tokens`, `train` and `validation` the
    numbers of the videos to learn from and to score by; without the latter no probe is pruned. The order of
    the training videos follows from `seed` and the epoch alone. `on_epoch` is told the epoch, from 1, and
    the new curve row of each probe that took part and did not fail, by trial. Probes that mix tokens are trained
    one by one, apart from the others. Where the device's memory is too small, training begins again with half as many
    probes in a readout, to the same results. `names` are those of the videos of `tokens`.

    Raises ValueError on bad parameters of a probe, no training video, or a label outside 0 .. num_classes-1, and
    UserError where tokens are not finite or one probe alone is too large for the device.
    """
    used = labels[np.concatenate([train, validation])]
    if not len(train):
        raise ValueError("there is no video to train on")
    if used.min() < 0 or used.max() >= num_classes:
        raise ValueError(f"labels run from {used.min()} to {used.max()}, outside 0 to {num_classes - 1}")
    data = _Data(tokens, labels, train, validation, num_classes, seed, torch.device(device), names)
    mixing = [FAMILIES[spec.family].mixes if spec.family in FAMILIES else False for spec in specs]
    packs = [[i] for i, alone in enumerate(mixing) if alone]
    packs.insert(0, [i for i, alone in enumerate(mixing) if not alone])
    results: dict[int, ProbeResult] = {}
    for pack in filter(None, packs):
        trained = _train_within_memory(data, [specs[i] for i in pack], config, on_epoch)
        results |= dict(zip(pack, trained, strict=True))
    return [results[i] for i in range(len(specs))]


def _train_within_memory(
    data: _Data, specs: Sequence[ProbeSpec], config: TrainingConfig, on_epoch: OnEpoch | None
) -> list[ProbeResult]:
    def train(together: int) -> list[ProbeResult]:
        return _train(data, specs, config, on_epoch, together)

    results, together = within_memory(train, len(specs), f"one {specs[0].family} probe on the device {data.device}")
    if together < len(specs):
        for result in results:
            result.warning = (
                f"trained with {together} of {len(specs)} probes at a time, as memory was too small for all"
            )
    return results


def _train(
    data: _Data, specs: Sequence[ProbeSpec], config: TrainingConfig, on_epoch: OnEpoch | None, together: int
) -> list[ProbeResult]:
    rows, labels = np.concatenate([data.train, data.validation]), torch.from_numpy(data.labels[data.train])
    weights = balanced_weights(labels, data.num_classes).float().to(data.device)
    grid, dim = data.tokens.grid, data.tokens.shape[1]
    task = Task(dim, grid, data.num_classes, len(data.train), weights, config, data.device)
    everyone = [Learner(spec, task) for spec in specs]
    run = _Run(data, config, _source(data, rows, specs, together), together, list(everyone))
    rungs = rung_epochs(config.rungs, config.epochs) if len(data.validation) else frozenset()
    for epoch in range(1, config.epochs + 1):
        if not run.learners:
            break
        new = _epoch(run, epoch)
        if epoch in rungs:
            _thin(run)
        if on_epoch is not None:
            on_epoch(epoch, new)
    return [learner.result for learner in everyone]


def _source(data: _Data, rows: Rows, specs: Sequence[ProbeSpec], together: int) -> PreparedSource | RawSource:
    if FAMILIES[specs[0].family].mixes:  # its blocks need the memory
        return RawSource(DeviceTokens(data.tokens, rows, data.device))
    # Where memory was too small once, tokens are streamed.
    budget = room(data.device) if together == len(specs) else 0
    return PreparedSource(data.tokens, rows, data.device, budget=budget)


def _epoch(run: _Run, epoch: int) -> dict[int, CurveRow]:
    """One epoch of the pack: train, sort out the failed, score, let go who is done. Returns the new curve rows."""
    began, present = time.perf_counter(), list(run.learners)
    for learner in present:
        learner.result.epoch = epoch
    sizes = _steps(run, epoch)
    fitted = [learner for learner in present if learner.fitted is not None]
    if fitted:
        _fit(run, fitted)
    for learner in present:
        learner.close_epoch(epoch, [1] if learner.fitted is not None else sizes[learner.settings.batch_size])
    run.leave()
    if len(run.data.validation):
        for part in run.parts(run.learners):
            _score(run, part, epoch)
        run.leave()
    if all(learner.result.state == "failed" for learner in present):
        _check_tokens(run, epoch)
    for learner in run.learners:
        learner.end_if_due()
    for learner in present:
        learner.result.seconds += (time.perf_counter() - began) / len(present)
    rows = {learner.spec.trial: learner.result.curves[-1] for learner in run.learners}
    run.leave()
    return rows


def _steps(run: _Run, epoch: int) -> dict[int, list[int]]:
    """Train on every training video once; returns the number of videos of each step, by batch size.

    A read is as large as the largest batch. The others divide it, so that each probe takes its own whole
    batches from it, side by side with those that have the same batch size.
    """
    data = run.data
    order = np.random.default_rng([data.seed, epoch]).permutation(data.train)
    groups: dict[int, list[Learner]] = {}
    for learner in run.learners:
        if learner.fitted is None:
            groups.setdefault(learner.settings.batch_size, []).append(learner)
    sizes: dict[int, list[int]] = {size: [] for size in groups}
    parts = cut(order, max(groups)) if groups else []
    batches: Iterator[PreparedTokens | Tensor] = run.source.gather(parts, epoch)
    for rows, tokens in zip(parts, batches, strict=True):
        labels = torch.from_numpy(data.labels[rows]).to(data.device)
        for size, group in groups.items():
            for first in range(0, len(rows), size):
                part = slice(first, min(first + size, len(rows)))
                batch = tokens[part] if isinstance(tokens, Tensor) else tokens.rows(part.start, part.stop)
                for some in run.parts(group):
                    _step(some, batch, labels[part])
                sizes[size].append(part.stop - part.start)
    return sizes


def _step(group: Sequence[Learner], tokens: PreparedTokens | Tensor, labels: Tensor) -> None:
    """One optimiser step of every probe of a group on its common batch."""
    reads = pack_readouts([learner.probe for learner in group], tokens)
    losses = []
    for learner, read in zip(group, reads, strict=True):
        logits = learner.probe.classify(learner.loss.mixed(read))
        losses.append(learner.loss(logits, labels))
    # Probes share no weight: the gradient of the sum is each one's own.
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    for learner, loss in zip(group, losses, strict=True):
        learner.step(loss)


@torch.no_grad()
def _fit(run: _Run, fitted: Sequence[Learner]) -> None:
    """Fit the probes whose weights are computed, to all views of the training videos that training may draw."""
    assert isinstance(run.source, PreparedSource), "a fitted probe does not mix"
    data, reads, count = run.data, [], len(run.data.tokens.drawn_views)
    for tokens, _ in run.source.training_views(cut(data.train, max(1, batch_size(data.tokens, data.device) // count))):
        reads.append(pack_readouts([fitted[0].probe], tokens)[0])
    readout = torch.cat(reads)  # the mean of the tokens, the same for all of them
    if not bool(readout.isfinite().all()):
        _check_tokens(run, 1)
    labels = torch.from_numpy(data.labels[data.train].repeat(count)).to(data.device)
    for learner in fitted:
        assert learner.fitted is not None
        learner.fitted.fit(readout[:, 0], labels)
        learner.losses.append(torch.nn.functional.cross_entropy(learner.probe.classify(readout), labels))


def _score(run: _Run, learners: Sequence[Learner], epoch: int) -> None:
    """Add the scores on the validation videos to the curve rows of some of the pack, or mark probes as failed."""
    data = run.data
    labels = data.labels[data.validation]
    with ExitStack() as stack:
        for learner in learners:
            stack.enter_context(learner.scored_weights())
        probes = [learner.probe for learner in learners]
        probabilities = probabilities_of(
            run.source.evaluation_views, data.validation, probes, batch=batch_size(data.tokens, data.device)
        )
    for learner, mine in zip(learners, probabilities, strict=True):
        if not np.isfinite(mine).all():
            learner.fail(f"validation scores are not finite after epoch {epoch}")
            continue
        confusion = confusion_matrix(labels, mine.argmax(axis=-1), data.num_classes)
        hit = np.maximum(mine[np.arange(len(labels)), labels], np.finfo(np.float32).tiny)
        learner.take_score(uar=uar(confusion), war=war(confusion), loss=float(-np.log(hit).mean()))


def _thin(run: _Run) -> None:
    """Successive halving: the weaker probes leave the pack."""
    weaker = pruned([learner.standing for learner in run.learners], run.config.keep)
    for learner in run.learners:
        if learner.spec.trial in weaker:
            learner.prune()
    run.leave()


def _drawn(tokens: TokenSource, rows: Rows, epoch: int) -> Tensor:
    return tokens.read(rows, tokens.views_of(rows, epoch))


def _check_tokens(run: _Run, epoch: int) -> None:
    """Raise UserError where tokens are not finite. That is no probe's fault, and every probe fails by it."""
    data = run.data
    views = ((_drawn(data.tokens, data.train[i : i + 1], epoch), row) for i, row in enumerate(data.train))
    rows = np.concatenate([data.train, data.validation])
    crops = ((data.tokens.evaluation_views(rows[i : i + 1]), row) for i, row in enumerate(rows))
    for tokens, row in chain(views, crops):
        if not bool(tokens.isfinite().all()):
            name = f"number {row}" if data.names is None else data.names[row]
            raise UserError(
                f"video {name}: its tokens hold numbers that are not finite, so no probe can be trained on them; "
                "remove its shard from the token store and run `fersweep embed` again"
            )
