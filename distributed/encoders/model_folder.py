"""A model folder in the layout of the Hugging Face hub: found without a network, its files named, read and hashed.

It holds `config.json`, the settings of an image or video processor, and weights as safetensors.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed.encoders.weights import check_file, check_safetensors, file_sha256, refusal
from distributed.errors import UserError

PREFIX = "huggingface:"
CONFIG = "config.json"
# Those of videos first, as the library's own choice for a video model.
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
NESTED_PROCESSOR = "processor_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


def is_local(place: str) -> bool:
    """Whether what follows the prefix is a path, not the name of a model on the hub."""
    return place.startswith(("/", ".", "~"))


def check_name(name: str, revision: str | None) -> None:
    """Raise UserError for `huggingface:` and something that is neither a folder nor a hub name, or a useless pin."""
    place = name.removeprefix(PREFIX)
    if not is_local(place) and not _HUB_NAME.match(place):
        raise UserError(
            f"encoder {name!r}: after {PREFIX} comes a folder on this machine or a name of the hub such as "
            "facebook/vjepa2-vitl-fpc64-256"
        )
    if is_local(place) and revision is not None:
        raise UserError(f"encoder {name!r}: `revision` pins a model of the hub, and this is a folder; remove it")


@dataclass(frozen=True)
class ModelFolder:
    """A folder on this machine; `label` names the model, `revision` is its commit on the hub or nothing."""

    path: Path
    label: str
    revision: str = ""

    @classmethod
    def find(cls, name: str, revision: str | None) -> ModelFolder:
        """The folder of `huggingface:FOLDER`, or of `huggingface:NAME` in this machine's cache. Never downloads.

        Raises:
            UserError: it is not there; the message says how to fetch it beforehand.
        """
        place = name.removeprefix(PREFIX)
        if not is_local(place):
            return _cached(place, revision)
        path = Path(place).expanduser().absolute()
        if not path.is_dir():
            raise UserError(f"encoder {PREFIX}{path}: there is no such folder; correct the encoder's `name`")
        return cls(path, f"{PREFIX}{path.name}")

    def config(self) -> Mapping[str, Any]:
        """What `config.json` holds; raises UserError where it is missing or no JSON."""
        return self._json(CONFIG)

    def processor(self) -> tuple[Path, Mapping[str, Any]]:
        """The file with the settings of the image or video processor, and these settings; raises UserError."""
        for name in PROCESSORS:
            if (self.path / name).exists():
                return self.path / name, self._json(name)
        if (self.path / NESTED_PROCESSOR).exists():
            nested = self._json(NESTED_PROCESSOR)
            for key in ("video_processor", "image_processor"):
                if isinstance(nested.get(key), Mapping):
                    return self.path / NESTED_PROCESSOR, nested[key]
        fix = f"Add the {' or '.join(PROCESSORS)} that was published with the model"
        raise refusal(self.path, "no settings of an image or video processor lie in this folder", fix)

    def weights(self) -> list[Path]:
        """The safetensors files in the order of their names, each there and whole.

        Raises:
            UserError: one is missing or cannot be read, or the weights are a pickle.
        """
        if (self.path / WEIGHTS).exists():
            files = [self.path / WEIGHTS]
        elif (self.path / INDEX).exists():
            files = self._shards()
        else:
            raise self._without_safetensors()
        for file in files:
            check_safetensors(file)
        return files

    def weights_sha256(self) -> str:
        """The hash of the weights file; of several, that of the lines `HASH  NAME` in order."""
        files = self.weights()
        return file_sha256(files[0]) if len(files) == 1 else _combined(files)

    def config_sha256(self) -> str:
        """The hash of the lines `HASH  NAME` of the configuration and the processor's settings."""
        return _combined([self.path / CONFIG, self.processor()[0]])

    def _json(self, name: str) -> Mapping[str, Any]:
        path = self.path / name
        check_file(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise refusal(path, f"this is no JSON ({error})", "Download the file again") from error
        if not isinstance(values, Mapping):
            raise refusal(path, "this holds no settings", "Download the file again")
        return values

    def _shards(self) -> list[Path]:
        names = self._json(INDEX).get("weight_map")
        if not isinstance(names, Mapping) or not names or not all(_is_file_name(value) for value in names.values()):
            raise refusal(self.path / INDEX, "this names no weights files", "Download the file again")
        return [self.path / name for name in sorted(set(names.values()))]

    def _without_safetensors(self) -> UserError:
        pickles = sorted(file.name for file in self.path.glob("*.bin"))
        if not pickles:
            return refusal(self.path, f"there is no {WEIGHTS} in this folder", "Download the model again")
        fix = (
            "Fetch a revision that has safetensors, or convert the folder where you trust it, in Python: "
            "transformers.AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER), and copy the processor's file"
        )
        return refusal(self.path, f"its weights are a pickle ({pickles[0]}), which could run code", fix)


def _cached(name: str, revision: str | None) -> ModelFolder:
    from huggingface_hub import constants, try_to_load_from_cache  # here: machines with torch alone lack it

    found = try_to_load_from_cache(name, CONFIG, revision=revision)
    if isinstance(found, str):
        folder = Path(found).parent  # snapshots/COMMIT
        return ModelFolder(folder, f"{PREFIX}{name}", folder.name)
    pin = f" --revision {revision}" if revision else ""
    raise UserError(
        f"encoder {PREFIX}{name}: {f'revision {revision} of it' if revision else 'it'} is not in the cache of this "
        f"machine ({constants.HF_HUB_CACHE}), and nothing is downloaded during a job. Fetch it beforehand on every "
        f"machine that encodes: hf download {name}{pin}"
    )


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and value == Path(value).name and value.endswith(".safetensors")


def _combined(files: list[Path]) -> str:
    lines = "".join(f"{file_sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()
