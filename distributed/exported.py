"""A finished evaluation as a folder that predicts anywhere: one JSON file and one safetensors file a fold.

Nothing in it runs code when it is read. The encoder's weights stay where they are: the folder holds their path
and hash, and they are used only when the hash is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch

from distributed.clips import ClipsConfig
from distributed.encoders import EncoderConfig, EncoderSpec, encoder_spec
from distributed.encoding import CLIPS_IN_PASS
from distributed.errors import UserError
from distributed.storage import Storage
from distributed.token_store import StoreHeader
from distributed.views import ViewsConfig
from distributed.winners import Winner, build_winner

FORMAT_VERSION = 1
MODEL = "model.json"
_ENTRIES = {"encoder", "spec", "clips", "views", "pool", "dtype", "clips_per_batch", "label_names", "dataset"}
_ENTRIES |= {"hashes", "folds"}
# What of a fold's record is kept beside its parameters.
_KEPT = ("fold", "family", "params", "selection", "trial", "inner_score", "scores", "recall", "num_test", "test_actors")


@dataclass(frozen=True)
class ExportedModel:
    """All that a prediction needs. `dtype` is the 16-bit number that the probes' training tokens were kept as;
    `dataset` and `hashes` name what the probes were trained on."""

    encoder: EncoderConfig
    spec: EncoderSpec
    clips: ClipsConfig
    views: ViewsConfig
    pool: str
    dtype: str
    clips_per_batch: int
    label_names: tuple[str, ...]
    dataset: str
    hashes: Mapping[str, str]
    winners: tuple[Winner, ...]

    @classmethod
    def of(
        cls,
        header: StoreHeader,
        encoder: EncoderConfig,
        winners: Sequence[Winner],
        *,
        label_names: Sequence[str],
        dataset: str,
        hashes: Mapping[str, str],
    ) -> ExportedModel:
        """The model of an evaluation's winners; `header` is that of the store that they were trained on."""
        return cls(
            # Where it was trained on a GPU it may be used without one; a branch of the hub may move on.
            encoder=replace(encoder, device="auto", revision=header.encoder.get("revision") or encoder.revision),
            spec=EncoderSpec.from_json(header.encoder),
            clips=ClipsConfig(**header.clips),
            views=ViewsConfig.clean_of(header.view_settings),
            pool=header.pool,
            dtype=header.dtype,
            clips_per_batch=header.clips_per_batch or CLIPS_IN_PASS,
            label_names=tuple(label_names),
            dataset=dataset,
            hashes=dict(hashes),
            winners=tuple(winners),
        )

    def fold(self, number: int) -> ExportedModel:
        """The model with one fold's probe alone.

        Raises:
            UserError: it has no such fold.
        """
        found = tuple(winner for winner in self.winners if winner.fold == number)
        if not found:
            there = ", ".join(str(winner.fold) for winner in self.winners)
            raise UserError(f"fold {number}: the model has no such fold; choose one of {there}")
        return replace(self, winners=found)

    def save(self, folder: Storage) -> None:
        """Write the folder; the JSON file comes last, so that a folder with one is whole."""
        folds = []
        for winner in self.winners:
            weights = safetensors.torch.save(winner.probe.state_dict())
            folder.write_bytes(_weights_name(winner.fold), weights)
            kept = {name: winner.record[name] for name in _KEPT}
            folds.append(
                {
                    **kept,
                    "temperature": temperature_of(winner),
                    "weights": _weights_name(winner.fold),
                    "sha256": _sha256(weights),
                }
            )
        folder.write_json(
            MODEL,
            {
                "format_version": FORMAT_VERSION,
                "encoder": asdict(self.encoder),
                "spec": self.spec.to_json(),
                "clips": asdict(self.clips),
                "views": self.views.in_force(),
                "pool": self.pool,
                "dtype": self.dtype,
                "clips_per_batch": self.clips_per_batch,
                "label_names": list(self.label_names),
                "dataset": self.dataset,
                "hashes": dict(self.hashes),
                "folds": folds,
            },
        )

    @classmethod
    def load(cls, folder: Storage) -> ExportedModel:
        """Read a folder that `save` wrote.

        Raises:
            UserError: it is none, of another format version, or one of its files is damaged.
        """
        if not folder.exists(MODEL):
            raise UserError(f"{folder.uri}: holds no {MODEL}; write it with `fersweep export EXPERIMENT FOLDER`")
        try:
            value = folder.read_json(MODEL)
        except ValueError as error:
            raise UserError(f"{folder.uri}/{MODEL}: is no JSON file ({error}); export the experiment again") from error
        if value.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{folder.uri}/{MODEL}: has format {value.get('format_version')}, this version of fersweep reads "
                f"{FORMAT_VERSION}; export the experiment again"
            )
        if missing := sorted(_ENTRIES - set(value)):
            raise UserError(f"{folder.uri}/{MODEL}: lacks {', '.join(missing)}; export the experiment again")
        spec = EncoderSpec.from_json(value["spec"])
        names = tuple(value["label_names"])
        return cls(
            encoder=EncoderConfig(**value["encoder"]),
            spec=spec,
            clips=ClipsConfig(**value["clips"]),
            views=ViewsConfig.clean_of(value["views"]),
            pool=value["pool"],
            dtype=value["dtype"],
            clips_per_batch=value["clips_per_batch"],
            label_names=names,
            dataset=value["dataset"],
            hashes=value["hashes"],
            winners=tuple(
                build_winner(fold, _checked_weights(folder, fold), dim=spec.dim, num_classes=len(names))
                for fold in value["folds"]
            ),
        )

    def with_encoder(self, *, weights: str | None = None, device: str = "auto") -> ExportedModel:
        """The model with its encoder found and checked; `weights` is where its file lies now.

        Raises:
            UserError: the file is missing, or it is not the one that the probes were trained on.
        """
        changes: dict[str, Any] = {"device": device}
        config = replace(self.encoder, **changes)
        if weights:
            config = config.at(weights)
        fix = "give the file or folder that the probes were trained on with --weights"
        if config.weights is not None and not Path(config.weights).expanduser().is_file():
            raise UserError(f"encoder weights {config.weights}: there is no such file; {fix}")
        try:
            found = encoder_spec(config)
        except UserError as error:
            raise UserError(f"{error}; or {fix}") from error
        for name, there, here in (
            ("weights", found.sha256, self.spec.sha256),
            ("settings", found.config_sha256, self.spec.config_sha256),
        ):
            if there != here:
                raise UserError(
                    f"encoder weights {config.weights or config.name}: these are other {name} (sha256 {there[:12]}, "
                    f"the probes were trained on {here[:12]}); {fix}"
                )
        return replace(self, encoder=config)


def temperature_of(winner: Winner) -> float | None:
    """What calibrates the winner's probabilities: from the record of its evaluation or of an exported model."""
    record = winner.record
    found = record["temperature"] if "temperature" in record else (record.get("calibration") or {}).get("temperature")
    return None if found is None else float(found)


def _checked_weights(folder: Storage, fold: Mapping[str, Any]) -> bytes:
    name = str(fold["weights"])
    fix = "export the experiment again"
    if not folder.exists(name):
        raise UserError(f"{folder.uri}/{name}: the probe of fold {fold['fold']} is missing; {fix}")
    weights = folder.read_bytes(name)
    if _sha256(weights) != fold["sha256"]:
        raise UserError(f"{folder.uri}/{name}: not the file that was exported (its sha256 differs); {fix}")
    return weights


def _weights_name(fold: int) -> str:
    return f"fold-{fold}.safetensors"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
