"""What a run reads, as MLflow knows data: name, digest, source, columns, counts.

`search_runs` finds by them: `dataset.digest = '…'`. A digest is cut to the 36 characters that MLflow keeps.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

DIGEST_LIMIT = 36


@dataclass(frozen=True)
class DataSource:
    """A list of videos or a token store.

    `context`: what the run uses it for; `columns`: name -> type; `counts`: whatever can be counted or named of it.
    """

    name: str
    digest: str
    source: str
    context: str
    columns: Mapping[str, str]
    counts: Mapping[str, Any]

    def to_input(self) -> DatasetInput:
        """The source as MLflow logs it; its columns in the form of a model signature, which MLflow's pages show."""
        columns = [{"name": name, "type": kind, "required": True} for name, kind in self.columns.items()]
        dataset = Dataset(
            name=self.name,
            digest=short_digest(self.digest),
            source_type="uri",
            source=json.dumps({"uri": self.source}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps(dict(self.counts)),
        )
        return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, self.context)])


def short_digest(digest: str) -> str:
    """A hash as MLflow keeps it."""
    return digest[:DIGEST_LIMIT]
