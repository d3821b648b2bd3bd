"""`fersweep evaluate --on OTHER`: every fold's winner scores all videos of another experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distributed.cluster import ray_session
from distributed.cross_dataset import FoldTransfer, check_same_tokens, score_transfers, shared_actors
from distributed.manifest import Manifest
from distributed.search import Record
from distributed.settings import settings_key
from distributed.storage import Storage
from distributed.sweep import trial_resources
from distributed.token_store import TokenStore
from distributed.transfer import class_map
from distributed.winners import load_winner
from jobs.context import Context
from jobs.experiment import load_experiment
from jobs.progress import progress
from jobs.results import results_folder, sweep_key_settings
from jobs.tracked import tracked_sweep
from tracking.transfer_section import transfer_metrics, transfer_summary


def transfer(context: Context, manifest: Manifest, store: TokenStore, other: Path) -> dict[str, Any]:
    """What was scored on what, and the records of all folds; written beside the folds' scores.

    Raises:
        UserError: the two experiments do not fit together, or one of them is not finished.
    """
    experiment, target = context.experiment, Context.of(load_experiment(other), context.console)
    target_manifest = target.manifest()
    target_store = target.store(target_manifest)
    check_same_tokens(store.header, target_store.header)
    classes = class_map(manifest.label_names, target_manifest.label_names, experiment.transfer)
    tokens = target.usable(target_manifest, target_store)
    source_tokens, folds = context.labelled(manifest, store)
    results = results_folder(context, manifest, store)
    for fold in folds:  # a missing one is found here, before Ray starts
        load_winner(results, fold.index, dim=store.header.shape[-1], num_classes=len(manifest.label_names))
    about = {
        "target": target.experiment.name,
        "dataset": str(target_manifest.table["dataset"][0].as_py()),
        "setting": experiment.transfer.model_dump(mode="json"),
        **classes.to_json(manifest.label_names, target_manifest.label_names),
        "shared_actors": shared_actors(source_tokens.actors, tokens.actors),
    }
    settings = {**about, "manifest": target_manifest.content_hash, "videos": list(tokens.video_ids)}
    name = f"{target.experiment.name}-{settings_key(settings)}"
    jobs = [
        FoldTransfer(
            fold.index, results, manifest.label_names, tokens, classes, transfer_folder(context, manifest, store, name)
        )
        for fold in folds
    ]
    found = {**about, "folds": _scored(context, jobs)}
    transfer_folder(context, manifest, store).write_json(f"{name}.json", found)
    with tracked_sweep(context, manifest, store, sweep_key_settings(context, manifest, store)) as tracked:
        tracked.log_metrics(transfer_metrics(found))
    for line in transfer_summary(found):
        context.say(line)
    return found


def transfer_folder(context: Context, manifest: Manifest, store: TokenStore, *names: str) -> Storage:
    return results_folder(context, manifest, store).child("transfer", *names)


def transfers(context: Context, manifest: Manifest, store: TokenStore) -> list[dict[str, Any]]:
    """Every transfer of this evaluation's winners that has been scored."""
    folder = transfer_folder(context, manifest, store)
    return [folder.read_json(name) for name in folder.names() if name.endswith(".json")]


def _scored(context: Context, jobs: list[FoldTransfer]) -> list[Record]:
    done: list[Record] = []
    with ray_session(context.experiment.cluster), progress(context.console, "transfer") as report:

        def on_fold(record: Record) -> None:
            done.append(record)
            report(len(done), len(jobs), 0)

        booked = trial_resources(context.experiment.sweep, len(jobs))
        return score_transfers(jobs, on_fold, cpus=booked["cpu"], gpus=booked["gpu"])
