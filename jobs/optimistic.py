"""`fersweep report --optimistic`: a report of its own that also shows what choosing on the test folds would claim."""

from __future__ import annotations

from distributed.cluster import ray_session
from distributed.errors import UserError
from distributed.evaluation import result_name
from distributed.manifest import Manifest
from distributed.optimism import OptimisticPack, of_the_winner, optimistic_packs, score_on_test_folds
from distributed.search import Record
from distributed.storage import Storage
from distributed.sweep import trial_resources
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.evaluate import fold_evaluations
from jobs.progress import progress
from jobs.report import report
from jobs.sweep import fold_searches, found_records


def report_optimistic(context: Context) -> Storage:
    """Write `report-optimistic.html` and `.md` beside the report, which stays as it is; returns their folder.

    Raises:
        UserError: a fold is not evaluated, or nothing was chosen.
    """
    manifest = context.manifest()
    store = context.store(manifest)
    return report(context, manifest, store, optimistic=optimistic_records(context, manifest, store))


def optimistic_records(context: Context, manifest: Manifest, store: TokenStore) -> list[Record]:
    """What every complete configuration scores on its fold's test part; what is known is not trained again."""
    if context.experiment.evaluate.selection == "paper":
        raise UserError("--optimistic: with evaluate.selection=paper nothing is chosen; leave it out")
    jobs = fold_evaluations(context, manifest, store)
    for job in jobs:
        if not job.results.exists(result_name(job.fold.index)):
            raise UserError(f"{job.results.uri}: fold {job.fold.index} is not evaluated; run `fersweep evaluate` first")
    size = context.experiment.search.pack
    searches = fold_searches(context, manifest, store)
    found = [found_records([search]) for search in searches]
    packs = [pack for job, own in zip(jobs, found, strict=True) for pack in optimistic_packs(job, own, size)]
    if not all(pack.done for pack in packs):
        _score(context, packs, len(jobs))
    records = [of_the_winner(job) for job in jobs] + [record for pack in packs for record in pack.records()]
    return sorted(records, key=lambda record: (record["fold"], record["trial"]))


def _score(context: Context, packs: list[OptimisticPack], num_folds: int) -> None:
    total, seen = sum(len(pack.configurations) for pack in packs), list[Record]()
    with ray_session(context.experiment.cluster), progress(context.console, "score on the test folds") as show:

        def on_pack(records: list[Record]) -> None:
            seen.extend(records)
            show(len(seen), total, sum(record["test_fold_scores"] is None for record in seen))

        on_pack([])
        booked = trial_resources(context.experiment.sweep, num_folds)
        score_on_test_folds(packs, on_pack, cpus=booked["cpu"], gpus=booked["gpu"])
