"""What every stage is handed: the experiment, its workspace, and where to speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from distributed.errors import UserError
from distributed.folds import Fold
from distributed.labelled_tokens import LabelledTokens, label_tokens, usable_tokens
from distributed.manifest import Manifest
from distributed.settings import settings_key
from distributed.storage import Storage
from distributed.store_plan import plan_store
from distributed.token_store import StoreHeader, TokenStore
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
        storage = Storage.at(place) if place else self.workspace.folder("tokens", self._tokens(header))
        return TokenStore(storage, header)

    def _tokens(self, header: StoreHeader) -> dict[str, Any]:
        """What names the tokens: another folder may hold other videos under the same names."""
        return {"header": header.to_json(), "root": self.experiment.data.root}

    def tokens_key(self, header: StoreHeader) -> str:
        """The short name of a store's content, whichever folder it lies in."""
        return settings_key(self._tokens(header))

    def labelled(self, manifest: Manifest, store: TokenStore) -> tuple[LabelledTokens, list[Fold]]:
        """The videos that have tokens, and their folds.

        Raises:
            UserError: the store is not there, not complete, or was made with other settings.
        """
        self._check_complete(store)
        return label_tokens(manifest, store, self.experiment.folds)

    def usable(self, manifest: Manifest, store: TokenStore) -> LabelledTokens:
        """The videos that have tokens, which need not be enough for folds; raises as `labelled`."""
        self._check_complete(store)
        return usable_tokens(manifest, store)

    def _check_complete(self, store: TokenStore) -> None:
        TokenStore.open(store.storage)
        store.create()  # the header is there, so it is compared
        if not store.complete:
            left = sum(len(store.header.videos_of(part)) for part in store.missing_parts())
            raise UserError(
                f"{store.storage.uri}: {left} of {store.header.num_videos} videos are not embedded yet; run "
                "`fersweep embed` first, which goes on where it stopped"
            )

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
            "tokens": self.tokens_key(store.header),
            "failed": failed,
        }
        return {**tokens, **sections, "packs_at_once": self.experiment.sweep.packs_at_once}


def _print(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)
