"""`fersweep export`: a finished evaluation as a folder that predicts anywhere."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from distributed.exported import ExportedModel
from distributed.published import save_published
from distributed.storage import Storage
from distributed.winners import load_winner
from jobs.context import Context
from jobs.results import results_folder
from jobs.versions import code_version


class Layout(Enum):
    """How the probes are written: as a model of fersweep, or as checkpoints of the published code."""

    FERSWEEP = "fersweep"
    REFERENCE = "reference"


def experiment_model(context: Context) -> ExportedModel:
    """The winners of an experiment's evaluation with everything that a prediction needs.

    Raises:
        UserError: a fold is not evaluated yet.
    """
    manifest = context.manifest()
    store = context.store(manifest)
    results = results_folder(context, manifest, store)
    _, folds = context.labelled(manifest, store)
    sizes = {"dim": store.header.shape[-1], "num_classes": len(manifest.label_names)}
    return ExportedModel.of(
        store.header,
        context.experiment.encoder,
        [load_winner(results, fold.index, **sizes) for fold in folds],
        label_names=manifest.label_names,
        dataset=str(manifest.table["dataset"][0].as_py()),
        hashes={
            "manifest": manifest.content_hash,
            "videos": manifest.videos_hash,
            "code": code_version(),
        },
    )


def export(context: Context, folder: Path, layout: Layout = Layout.FERSWEEP) -> None:
    """Write the model's folder."""
    model = experiment_model(context)
    storage = Storage.at(folder)
    if layout is Layout.REFERENCE:
        save_published(model.winners, storage, label_names=model.label_names)
        context.say(f"export: {storage.uri}, the probes of {len(model.winners)} folds as published checkpoints")
        return
    model.save(storage)
    come_along = "" if model.encoder.is_huggingface else ", which come with fersweep"
    weights = model.encoder.weights or f"those of {model.encoder.name}{come_along}"
    context.say(
        f"export: {storage.uri}, the probes of {len(model.winners)} folds; the encoder's weights stay apart: {weights}"
    )
