"""`fersweep sweep`: one search per fold, all folds at once."""

from __future__ import annotations

from distributed.cluster import errors_of_workers, ray_session
from distributed.manifest import Manifest
from distributed.search import Record, derived_seed, read_packs
from distributed.selection import winner_of
from distributed.storage import Storage
from distributed.sweep import FoldSearch, run_sweep
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.progress import progress
from jobs.telling import tell
from jobs.tracked import tracked_sweep


def fold_searches(context: Context, manifest: Manifest, store: TokenStore) -> list[FoldSearch]:
    """The search of every fold; what it has found so far lies in its `packs`."""
    experiment = context.experiment
    tokens, folds = context.labelled(manifest, store)
    folder = sweep_folder(context, manifest, store)
    return [
        FoldSearch(
            fold=fold.index,
            train=fold.train,
            validation=fold.validation,
            tokens=tokens,
            search=experiment.search,
            training=experiment.training,
            packs=folder.child(f"fold-{fold.index}"),
            seed=derived_seed(experiment.seed, "fold", fold.index),
        )
        for fold in folds
    ]


def sweep_folder(context: Context, manifest: Manifest, store: TokenStore) -> Storage:
    return context.workspace.folder("sweep", context.search_settings(manifest, store))


def found_records(searches: list[FoldSearch]) -> list[Record]:
    """Every configuration's record, by fold and number."""
    packs = [read_packs(search.packs) for search in searches]
    return [record for fold in packs for pack in sorted(fold) for record in fold[pack]]


def sweep(context: Context, manifest: Manifest, store: TokenStore) -> None:
    """Search every fold; a configuration that has ended is never trained again."""
    if context.experiment.evaluate.selection == "paper":
        context.say("sweep: nothing to search, evaluate.selection is paper")
        return
    context.experiment.search.check(dim=store.header.shape[-1])
    settings = context.search_settings(manifest, store)
    searches = fold_searches(context, manifest, store)
    total = len(searches) * context.experiment.search.configurations
    seen = {_number(record): record["state"] for record in found_records(searches)}
    with (
        context.workspace.stage("sweep", settings, done=len(seen) == total),
        tracked_sweep(context, manifest, store, settings) as tracked,
        ray_session(context.experiment.cluster),
        progress(context.console, "sweep") as report,
        errors_of_workers(),
    ):

        def on_pack(records: list[Record]) -> None:
            tracked.log_probes(records)
            for warning in sorted({record["warning"] for record in records if record.get("warning")}):
                context.say(f"sweep: fold {records[0]['fold']}, pack {records[0]['pack']}: {warning}")
            seen.update({_number(record): record["state"] for record in records})
            report(len(seen), total, list(seen.values()).count("failed"))

        on_pack([])
        before = len(seen)
        run_sweep(searches, context.experiment.sweep, on_pack)
        if len(seen) > before:
            tell(context, manifest, store, tracked, searches, found_records(searches))
    for search in searches:
        records = found_records([search])
        best = winner_of(search.fold, records)
        context.say(
            f"  fold {search.fold}: {len(records)} configurations, best inner UAR {best['score']:.3f} "
            f"({best['family']}, configuration {best['trial']})"
        )


def _number(record: Record) -> tuple[int, int]:
    return record["fold"], record["trial"]
