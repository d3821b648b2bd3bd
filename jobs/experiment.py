"""The experiment file: one YAML file, checked as a whole before anything starts."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distributed.clips import ClipsConfig
from distributed.cluster import ClusterConfig
from distributed.decoding import DecodingConfig
from distributed.embedding_workers import EmbeddingConfig, EmbeddingSettings
from distributed.encoders import EncoderConfig
from distributed.encoders.model_folder import PREFIX, is_local
from distributed.errors import UserError
from distributed.evaluation import EvaluateConfig
from distributed.folds import FoldsConfig
from distributed.full_video import FullVideoConfig
from distributed.inspection import InsideConfig
from distributed.manifest import DataConfig
from distributed.mean_pixels import AnchorsConfig
from distributed.search import SearchConfig
from distributed.sweep import SweepConfig
from distributed.token_store import TokensConfig
from distributed.training import TrainingConfig
from distributed.transfer import TransferConfig
from distributed.views import ViewsConfig
from tracking.settings import TrackingConfig


class Experiment(BaseModel):
    """Everything a user sets, each section in the model of the file whose behaviour it sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    workspace: str
    seed: int = Field(0, ge=0)
    data: DataConfig
    folds: FoldsConfig = Field(default_factory=FoldsConfig)
    clips: ClipsConfig = Field(default_factory=ClipsConfig)
    decoding: DecodingConfig = Field(default_factory=DecodingConfig)
    views: ViewsConfig = Field(default_factory=ViewsConfig)
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    tokens: TokensConfig = Field(default_factory=TokensConfig)
    embedding: EmbeddingConfig = Field(default_factory=EmbeddingConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    sweep: SweepConfig = Field(default_factory=SweepConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    anchors: AnchorsConfig = Field(default_factory=AnchorsConfig)
    inside: InsideConfig = Field(default_factory=InsideConfig)
    full_video: FullVideoConfig = Field(default_factory=FullVideoConfig)
    transfer: TransferConfig = Field(default_factory=TransferConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)

    @property
    def embedding_settings(self) -> EmbeddingSettings:
        return EmbeddingSettings(
            self.encoder,
            self.clips,
            self.views,
            self.tokens,
            self.decoding,
            self.embedding,
            self.data.max_failures,
        )

    def to_yaml(self) -> str:
        """The whole experiment with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment file; `overrides` are `section.key=value`, the value as in YAML.

    Paths in the file are read from the file's folder; paths in overrides from the working directory.

    Raises:
        UserError: the file is missing or not YAML, or a key or value is wrong: key, value and fix are named.
    """
    values = _read_yaml(path)
    for key in _PATHS:
        _make_absolute(values, key, path.absolute().parent)
    _name_encoder(values, path.absolute().parent)
    for override in overrides:
        _apply(values, override)
    for key in _PATHS:
        _refuse_password(values, key, path)
    values.setdefault("name", path.stem)
    values.setdefault("workspace", str(path.absolute().parent / "runs" / str(values["name"])))
    try:
        experiment = Experiment.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}:\n" + "\n".join(_explain(item) for item in error.errors())) from error
    if misfit := _misfit(experiment):
        raise UserError(f"{path}:\n  {misfit}")
    return experiment


def _misfit(experiment: Experiment) -> str:
    """In what two sections do not fit together, or nothing."""
    if experiment.training.views == "augmented" and not experiment.views.train:
        return (
            "training.views: no augmented pass is stored to train on (it is 'augmented'); set views.train to a number "
            "of passes, or training.views to all"
        )
    return ""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice; 01 is text, as in the names of videos, not an octal number."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        **yaml.SafeLoader.yaml_implicit_resolvers,
        "0": [("tag:yaml.org,2002:str", re.compile("^0[0-9]+$")), *yaml.SafeLoader.yaml_implicit_resolvers["0"]],
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


_PATHS = ("workspace", "data.root", "data.table", "encoder.weights", "tokens.store", "views.face.table")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(
            f"{path}: the experiment file cannot be read ({error.strerror}); write one with `fersweep init ravdess DIR`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a YAML file ({error}); check its indentation, quotes and keys") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no keys; write one with `fersweep init ravdess DIR`")
    return values


def _make_absolute(values: dict[str, Any], key: str, folder: Path) -> None:
    *sections, name = key.split(".")
    place: Any = values
    for section in sections:
        place = place.get(section) if isinstance(place, dict) else None
    value = place.get(name) if isinstance(place, dict) else None
    if isinstance(place, dict) and isinstance(value, str) and "://" not in value:
        place[name] = str((folder / Path(value).expanduser()).resolve())


def _refuse_password(values: dict[str, Any], key: str, path: Path) -> None:
    section, _, name = key.rpartition(".")
    place = values.get(section) if section else values
    value = place.get(name) if isinstance(place, dict) else None
    if isinstance(value, str) and re.match(r"[a-z0-9+.-]+://[^/?#]*:[^/?#]*@", value, re.IGNORECASE):
        raise UserError(
            f"{path}:\n  {key}: a password in an address ends up in logs, reports and MLflow; take it out and let the "
            "machine's role open the place, ~/.aws/credentials, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def _name_encoder(values: dict[str, Any], folder: Path) -> None:
    """`encoder: NAME` is short for its `name`; a model's folder is made absolute, a name on the hub stays."""
    if isinstance(values.get("encoder"), str):
        values["encoder"] = {"name": values["encoder"]}
    section = values.get("encoder")
    name = section.get("name") if isinstance(section, dict) else None
    if isinstance(section, dict) and isinstance(name, str) and name.startswith(PREFIX):
        place = folder / Path(name.removeprefix(PREFIX)).expanduser()
        if is_local(name.removeprefix(PREFIX)) or place.is_dir():
            section["name"] = f"{PREFIX}{place.resolve()}"


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"{override}: an override is written section.key=value, such as search.pack=4")
    *sections, name = key.split(".")
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise UserError(f"{override}: {section} is a value, not a section")
    try:
        place[name] = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{override}: the value is not YAML ({error})") from error
    if key in _PATHS:
        _make_absolute(values, key, Path.cwd())
    if key in ("encoder", "encoder.name"):
        _name_encoder(values, Path.cwd())


def _explain(error: Any) -> str:
    """One mistake in one line: key, value, reason, fix."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        close = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(error["loc"][:-1]), n=1)
        known = ", ".join(_known_keys(error["loc"][:-1]))
        hint = f"did you mean {close[0]}?" if close else f"known here: {known}"
        return f"  {key}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"  {key}: missing; add it"
    reason = str(error["msg"]).removeprefix("Value error, ")
    given = re.sub(r"(://[^/@]*?:)[^/@]*@", r"\1...@", repr(error["input"]))  # no password on a screen
    return f"  {key}: {reason} (it is {given})"


def _known_keys(sections: Sequence[Any]) -> list[str]:
    """The keys that a section of the experiment knows."""
    model: Any = Experiment
    for section in sections:
        fields: Mapping[str, Any] = getattr(model, "model_fields", {})
        if dataclasses.is_dataclass(model):
            annotation = get_type_hints(model).get(str(section))
        else:
            annotation = fields[section].annotation if section in fields else None
        # A section that may be left out is a union with None.
        kinds = [kind for kind in get_args(annotation) if dataclasses.is_dataclass(kind)]
        model = kinds[0] if kinds else annotation
    if dataclasses.is_dataclass(model):
        return [field.name for field in dataclasses.fields(model)]
    return list(getattr(model, "model_fields", {}))
