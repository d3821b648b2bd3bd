"""The winners of an evaluation as a version of a registered model in MLflow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from distributed.exported import ExportedModel, temperature_of
from distributed.manifest import Manifest
from distributed.scored_videos import read_scored
from distributed.settings import settings_key
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.export import experiment_model
from jobs.results import fold_records, results_folder, sweep_key_settings
from jobs.tracked import tracking_uris
from jobs.versions import code_version, serving_requirements
from tracking.model_files import ModelCard
from tracking.models import ModelRegistry, NewModel, RegistryError, Version
from tracking.records import SCORES, mean_std, percent

EVALUATION = "evaluation"  # beside the exported model: what a comparison needs when the workspace is gone


def register_winners(context: Context, manifest: Manifest, store: TokenStore) -> None:
    """Register what has been evaluated, once; where MLflow does not take it, the results stay and a warning is said."""
    if not context.experiment.tracking.register_models:
        return
    try:
        version, fresh = registered(context, manifest, store)
    except RegistryError as error:
        context.say(
            f"evaluate: WARNING: the winners are scored, but not registered as a model: {error}. The same command "
            "registers them once that is mended and scores nothing again; tracking.register_models=false does without"
        )
        return
    if fresh:
        context.say(f"  registered: {version}, {' and '.join(version.aliases)}")


def registered(context: Context, manifest: Manifest, store: TokenStore) -> tuple[Version, bool]:
    """The version of the experiment's finished evaluation, and whether it was registered just now.

    Raises:
        UserError: a fold is not evaluated.
        RegistryError: MLflow cannot be reached or does not take it.
    """
    model = experiment_model(context)
    results = results_folder(context, manifest, store)
    experiment, run_key = context.experiment, f"sweep:{settings_key(sweep_key_settings(context, manifest, store))}"
    records = fold_records(context, manifest, store)
    means = {name: mean_std([record["scores"][name] for record in records]) for name in SCORES}
    selection = experiment.evaluate.selection
    new = NewModel(
        experiment.tracking.model or f"fersweep-{model.dataset}",
        fingerprint(model, results),
        experiment.tracking.experiment or experiment.name,
        run_key,
        ModelCard(model.label_names, "clip.mp4", serving_requirements()),
        {
            "dataset": model.dataset,
            "selection": selection,
            "encoder": model.spec.name,
            "encoder.sha256": model.spec.sha256,
            "manifest": manifest.content_hash,
            "code": code_version(),
            **{f"test_{name}": f"{mean:.4f}" for name, (mean, _) in means.items()},
        },
        f"{experiment.name} ({selection}): test UAR {percent(*means['uar'])} %, WAR {percent(*means['war'])} %, means "
        f"over {len(records)} folds of {model.dataset}; probes on {model.spec.name}",
    )
    return ModelRegistry(tracking_uris(context)[0]).register(new, lambda folder: write_files(model, results, folder))


def write_files(model: ExportedModel, results: Storage, folder: Path) -> None:
    """The exported model and, below it, the records and test predictions of its folds."""
    model.save(Storage.at(folder))
    kept = Storage.at(folder).child(EVALUATION)
    for winner in model.winners:
        for name in (f"fold-{winner.fold}{end}" for end in (".json", ".parquet", "-members.parquet")):
            if results.exists(name):
                kept.write_bytes(name, results.read_bytes(name))


def fingerprint(model: ExportedModel, results: Storage) -> str:
    """What the model is and what it said of the test videos, as sha256 (hex).

    The code's version and the place of the encoder's weights are no part of it, nor are seconds and the last bits of
    probabilities, which depend on what a winner shares its pack with: the same results, made or read once more, have
    the same fingerprint.
    """
    scored = read_scored(results)
    folds = [
        {
            "fold": winner.fold,
            "params": winner.record["params"],
            "seed": winner.record["repeats"][0]["seed"],
            "epochs": len(winner.record["curves"]),
            "temperature": temperature_of(winner),
        }
        for winner in model.winners
    ]
    what = {
        "encoder": model.spec.to_json(),
        "clips": asdict(model.clips),
        "views": asdict(model.views),
        "tokens": [model.pool, model.dtype],
        "label_names": list(model.label_names),
        "dataset": model.dataset,
        "manifest": model.hashes["manifest"],
        "selection": sorted({str(winner.record["selection"]) for winner in model.winners}),
        "folds": folds,
        "predicted": dict(zip(scored.video_ids, scored.predicted.tolist(), strict=True)),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
