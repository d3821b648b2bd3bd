"""Where a run's files lie, and what of an earlier run still holds.

Everything that a stage makes lies in a folder named after the settings that made it, so a changed setting
makes something new beside the old and going back finds the old again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed.settings import differences, settings_key
from distributed.storage import Storage


@dataclass(frozen=True)
class Workspace:
    """The one folder, local or behind a URI, that holds all a run writes."""

    storage: Storage
    experiment: str
    say: Callable[[str], None]

    @property
    def _stages_file(self) -> str:
        return f"stages-{self.experiment}.json"

    def folder(self, stage: str, settings: dict[str, Any]) -> Storage:
        """The folder of a stage with these settings."""
        return self.storage.child(stage, settings_key(settings))

    def stages(self) -> dict[str, dict[str, Any]]:
        """What the newest run of each stage was made with, the seconds that its work took, and what it measured."""
        name = self._stages_file
        return dict(self.storage.read_json(name)) if self.storage.exists(name) else {}

    @contextmanager
    def stage(self, name: str, settings: dict[str, Any], *, done: bool = False) -> Iterator[dict[str, float]]:
        """Say what changed since the last run of the stage; count the block's time unless its work is `done`.

        Numbers that the block puts into the dict are added to those of the stage's earlier runs.
        """
        measured: dict[str, float] = {}
        stages = self.stages()
        before = stages.get(name)
        if before is None or before["key"] != settings_key(settings):
            if before is not None:
                changes = differences(before["settings"], settings)
                self.say(f"{name}: not what it was before ({'; '.join(changes)})")
            before = {"key": settings_key(settings), "settings": settings, "seconds": 0.0}
        elif done:
            yield measured
            return
        started = time.monotonic()
        try:
            yield measured
        finally:
            before["seconds"] += time.monotonic() - started
            earlier = before.get("measured", {})
            if measured:
                before["measured"] = {key: earlier.get(key, 0) + value for key, value in measured.items()}
            self.storage.write_json(self._stages_file, {**self.stages(), name: before})
