"""What every stage is handed: the experiment, its workspace, and where to speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from distributed.embedding import plan_store
from distributed.folds import Fold
from distributed.labelled_tokens import LabelledTokens, label_tokens
from distributed.manifest import Manifest
from distributed.settings import settings_key
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.experiment import Experiment
from jobs.workspace import Workspace


@dataclass(frozen=True)
class Context:
    """One run of one or more stages."""

    experiment: Experiment
    workspace: Workspace
    console: Console

    @classmethod
    def of(cls, experiment: Experiment, console: Console) -> Context:
        storage = Storage.at(experiment.workspace)
        return cls(experiment, Workspace(storage, experiment.name, lambda text: _print(console, text)), console)

    def say(self, text: str) -> None:
        _print(self.console, text)

    def store(self, manifest: Manifest) -> TokenStore:
        """The token store of these settings, which may not be there yet."""
        header = plan_store(manifest, self.experiment.embedding_settings)
        place = self.experiment.tokens.store
        storage = Storage.at(place) if place else self.workspace.folder("tokens", header.to_json())
        return TokenStore(storage, header)

    def labelled(self, manifest: Manifest, store: TokenStore) -> tuple[LabelledTokens, list[Fold]]:
        """The videos that have tokens, and their folds; refuses an incomplete store."""
        return label_tokens(manifest, TokenStore.open(store.storage), self.experiment.folds)

    def manifest(self) -> Manifest:
        """What the index stage listed last."""
        return Manifest.load(self.manifest_folder)

    @property
    def manifest_folder(self) -> Storage:
        return self.workspace.storage.child("manifest", self.experiment.name)

    def search_settings(self, manifest: Manifest, store: TokenStore) -> dict[str, Any]:
        """Everything that decides what a search finds."""
        dump = self.experiment.model_dump(mode="json")
        sections = {name: dump[name] for name in ("folds", "search", "training", "seed")}
        failed = [failure.video_id for failure in store.failures()]
        tokens = {
            "manifest": manifest.content_hash,
            "tokens": settings_key(store.header.to_json()),
            "failed": failed,
        }
        return {**tokens, **sections, "packs_at_once": self.experiment.sweep.packs_at_once}


def _print(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)
