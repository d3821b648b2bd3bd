"""`fersweep promote`: a better model takes the champion's place, and why or why not."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from distributed.errors import UserError
from distributed.exported import ExportedModel
from distributed.intervals import Score
from distributed.promotion import Candidate, Verdict, judge
from distributed.scored_videos import read_scored
from distributed.storage import Storage
from jobs.context import Context
from jobs.experiment import load_experiment
from jobs.models import is_reference, registry_at
from jobs.registration import EVALUATION, registered
from jobs.tracked import tracking_uris
from tracking.models import CHALLENGER, CHAMPION, ModelRegistry, RegistryError, Version


def promote(
    model: str, console: Console, tracking: str | None, *, score: Score, significance: float, force: bool
) -> bool:
    """Whether the model is the champion now; what the registry keeps of both is enough to compare them.

    Raises:
        UserError: there is no such model, the registry cannot be reached, or the evaluation is not finished.
    """
    if not 0 < significance < 1:
        raise UserError(f"--significance is {significance}; it is a p-value between 0 and 1, such as 0.05")
    try:
        registry, version = _wanted(model, console, tracking)
        champion = registry.resolve(f"models:/{version.name}@{CHAMPION}")
        if champion.number == version.number:
            _say(console, f"{version} is the champion already")
            return True
        verdict = _verdict(registry, version, champion, score, significance)
        if not verdict.promote and not force:
            _say(console, f"{version} is not promoted, {champion} stays the champion: {verdict.reason}")
            return False
        reason = (
            f"{'' if verdict.promote else 'FORCED although '}{verdict.reason}; before it: version {champion.number}"
        )
        registry.promote(version, reason)
    except RegistryError as error:
        raise UserError(f"promote {model}: {error}") from error
    if not verdict.promote:
        _say(console, f"WARNING: --force overrules the comparison, which says: {verdict.reason}")
    _say(console, f"{version} is the champion now, instead of version {champion.number}: {reason}")
    return True


def _wanted(model: str, console: Console, tracking: str | None) -> tuple[ModelRegistry, Version]:
    """The registry and the version to promote: an experiment's own, a challenger, or the one that is named."""
    if is_reference(model):
        registry = registry_at(tracking, console)
        plain = not model.startswith("models:/") and "@" not in model
        return registry, registry.resolve(f"{model}@{CHALLENGER}" if plain else model)
    context = Context.of(load_experiment(Path(model)), console)
    if tracking is not None:
        raise UserError("--tracking-uri goes with a registered model; an experiment file has its own, tracking.uri")
    manifest = context.manifest()
    version, _ = registered(context, manifest, context.store(manifest))
    return ModelRegistry(tracking_uris(context)[0]), version


def _verdict(
    registry: ModelRegistry, version: Version, champion: Version, score: Score, significance: float
) -> Verdict:
    one, other = _candidate(registry, version), _candidate(registry, champion)
    return judge(one, other, score=score, significance=significance)


def _candidate(registry: ModelRegistry, version: Version) -> Candidate:
    """What a version said of its test videos, from the files that the registry keeps of it."""
    with registry.files(version) as folder:
        storage = Storage.at(folder)
        return Candidate(str(version), ExportedModel.load(storage).dataset, read_scored(storage.child(EVALUATION)))


def _say(console: Console, text: str) -> None:
    console.print(f"promote: {text}", soft_wrap=True, markup=False, highlight=False)
