"""How every configuration of a search scores on the test fold: what choosing by it would claim, never a result.

Every complete configuration of a fold is refitted as its winner was, on all actors outside the fold, and scored
on the fold. The best of these scores is what a protocol without inner validation would report. A record here
has no `scores`, so that nothing that reads test results can take it for one, and says what it is in `selection`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ray

from distributed.cluster import finish
from distributed.evaluation import FoldEvaluation, result_name
from distributed.refits import Refit, refit_spec, score, train_and_predict
from distributed.search import Record, pack_name
from distributed.storage import Storage
from distributed.threads import use_threads

SELECTION = "the test fold"


@dataclass(frozen=True)
class OptimisticPack:
    """Configurations of one fold, the winner left out, that are refitted together."""

    job: FoldEvaluation
    number: int
    configurations: tuple[Record, ...]

    @property
    def results(self) -> Storage:
        """Below the evaluation's own folder: other settings of search or evaluation have another one."""
        return self.job.results.child("chosen-on-test", f"fold-{self.job.fold.index}")

    @property
    def done(self) -> bool:
        return self.results.exists(pack_name(self.number))

    def records(self) -> list[Record]:
        """What was found, once it is done."""
        found: list[Record] = self.results.read_json(pack_name(self.number))["records"]
        return found


def optimistic_packs(job: FoldEvaluation, records: Sequence[Record], size: int) -> list[OptimisticPack]:
    """Packs of `size` of the complete configurations in `records` that did not win; the winner is scored already."""
    rest = [record for record in records if record["state"] == "complete" and record["trial"] != job.winner["trial"]]
    rest.sort(key=lambda record: int(record["trial"]))
    return [
        OptimisticPack(job, number, tuple(rest[start : start + size]))
        for number, start in enumerate(range(0, len(rest), size))
    ]


def score_on_test_folds(
    packs: Sequence[OptimisticPack], on_pack: Callable[[list[Record]], None], *, cpus: float = 1, gpus: float = 0
) -> None:
    """Refit and score every pack that is not done, all at once; `on_pack` hears of each pack's records once.

    `cpus` and `gpus` are what a pack books.
    """
    running = {}
    for pack in packs:
        if pack.done:
            on_pack(pack.records())
        else:
            task = _score_pack.options(num_cpus=cpus, num_gpus=gpus)
            running[task.remote(pack, max(1, math.floor(cpus)))] = pack
    for pack, _ in finish(running):
        on_pack(pack.records())


def of_the_winner(job: FoldEvaluation) -> Record:
    """The same record of the fold's winner, from the evaluation, which has scored it: its first training."""
    record = job.results.read_json(result_name(job.fold.index))
    return _record(job, job.winner, record["repeats"][0]["scores"], None)


@ray.remote(max_retries=2)  # type: ignore[untyped-decorator]
def _score_pack(pack: OptimisticPack, threads: int) -> None:
    use_threads(threads)
    pack.results.write_json(pack_name(pack.number), {"records": score_pack(pack)})


def score_pack(pack: OptimisticPack) -> list[Record]:
    """A record per configuration of the pack; one whose refit failed has the reason in place of the scores."""
    job = pack.job
    specs = [refit_spec(job.seed, record) for record in pack.configurations]
    trained = train_and_predict(job.tokens, job.fold.development, job.fold.test, specs, job.training, seed=job.seed)
    found = []
    for record, one in zip(pack.configurations, trained, strict=True):
        if isinstance(one, Refit):
            scores, _ = score(job.tokens, job.fold.test, one.probabilities)
            found.append(_record(job, record, scores, None))
        else:
            found.append(_record(job, record, None, one.reason))
    return found


def _record(job: FoldEvaluation, record: Record, scores: dict[str, float] | None, reason: str | None) -> Record:
    return {
        "fold": job.fold.index,
        "selection": SELECTION,
        "trial": record["trial"],
        "family": record["family"],
        "inner_score": record["score"],
        "test_fold_scores": scores,
        "reason": reason,
    }
