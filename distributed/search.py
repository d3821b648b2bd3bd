"""Optuna behind Tune's Searcher: a Tune trial is a pack of K configurations, each an Optuna trial of its own.

What a fold has searched lies in its pack files. The study is rebuilt from them, never kept anywhere else, and
a suggestion depends only on the seed, its number and the packs that ended before: a sweep that was killed
goes on as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState
from pydantic import ConfigDict, Field, create_model, field_validator
from ray.tune.search import Searcher

from distributed.errors import UserError
from distributed.storage import Storage
from search_spaces.family import DEFAULT_FAMILIES, FAMILIES, Space
from search_spaces.optimisation import OptimisationSpace

Record = dict[str, Any]
REFUSED = "refused"  # in what Tune hears of a pack: the error of one that another attempt would not mend


# A field for the ranges of every family, by its name.
_RANGES: dict[str, Any] = {
    name: (family.Space, Field(default_factory=family.Space)) for name, family in FAMILIES.items()
}
_FamilyRanges = create_model("_FamilyRanges", __config__=ConfigDict(extra="forbid", frozen=True), **_RANGES)


class SearchConfig(_FamilyRanges):
    """What is searched in every fold: families and their ranges, configurations in all and in a pack."""

    families: tuple[str, ...] = DEFAULT_FAMILIES
    optimisation: OptimisationSpace = Field(default_factory=OptimisationSpace)
    configurations: int = Field(40, ge=1, description="configurations tried in every fold")
    pack: int = Field(8, ge=1, description="configurations trained together on one read of the tokens")
    random_first: int = Field(10, ge=1, description="configurations drawn at random before TPE takes over")

    @field_validator("families")
    @classmethod
    def _some_and_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"search.families is {list(value)}; name at least one family, each once")
        unknown = sorted(set(value) - set(FAMILIES))
        if unknown:
            raise ValueError(f"search.families names {unknown[0]}, which is none of {sorted(FAMILIES)}")
        return value

    @property
    def num_packs(self) -> int:
        return -(-self.configurations // self.pack)

    def trials_of(self, pack: int) -> range:
        """The numbers of the configurations in a pack."""
        start = pack * self.pack
        return range(start, min(start + self.pack, self.configurations))

    def ranges_of(self, family: str) -> Space:
        """The ranges of a family."""
        ranges: Space = getattr(self, family)
        return ranges

    def suggest(self, trial: optuna.trial.BaseTrial, *, dim: int) -> dict[str, Any]:
        """One configuration: a family, its parameters, and how it is optimised."""
        family = trial.suggest_categorical("family", list(self.families))
        settings = {} if FAMILIES[family].fitted else self.optimisation.suggest(trial)
        return {"family": family, **settings, **self.ranges_of(family).suggest(trial, dim=dim)}

    def check(self, *, dim: int) -> None:
        """Raise UserError where a family of the search has no configuration for tokens of width `dim`."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        for family in self.families:
            try:
                self.ranges_of(family).suggest(optuna.create_study().ask(), dim=dim)
            except ValueError as error:
                raise UserError(f"search.{error}") from error


class FoldStudy:
    """The Optuna study of one fold, which asks for packs and is told of them strictly in their order.

    Pack p is suggested from what packs 0 to p - `lag` have shown, whatever else has ended by then, so that
    `lag` packs can run side by side and the outcome still does not depend on which was faster.
    """

    def __init__(self, config: SearchConfig, *, dim: int, seed: int, lag: int = 1) -> None:
        self._config = config
        self._dim = dim
        self._seed = seed
        self._lag = lag
        self._asked: dict[int, list[Trial]] = {}
        self._told = 0
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize")

    def ready(self, pack: int, records: dict[int, list[Record]]) -> bool:
        """Whether all that pack `pack` is to be suggested from has ended."""
        return all(number in records for number in range(pack - self._lag + 1))

    def ask(self, pack: int, records: dict[int, list[Record]]) -> list[dict[str, Any]]:
        """The configurations of the next pack; packs are asked for one after the other, recorded ones too."""
        assert pack == len(self._asked) and self.ready(pack, records)
        while self._told <= pack - self._lag:
            self._tell(self._told, records[self._told])
            self._told += 1
        recorded = {record["trial"]: record["params"] for record in records.get(pack, [])}
        trials, params = [], []
        for number in self._config.trials_of(pack):
            if number in recorded:  # the same again, even where another version of Optuna would differ
                self._study.enqueue_trial(recorded[number])
            self._study.sampler = self._sampler(number)
            trials.append(self._study.ask())
            params.append(self._config.suggest(trials[-1], dim=self._dim))
        self._asked[pack] = trials
        return params

    def _sampler(self, number: int) -> TPESampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                seed=derived_seed(self._seed, "suggestion", number),
                n_startup_trials=self._config.random_first,
                constant_liar=True,  # configurations of one pack keep away from each other
            )

    def _tell(self, pack: int, records: list[Record]) -> None:
        trials = dict(zip(self._config.trials_of(pack), self._asked[pack], strict=True))
        for record in records:
            tell(self._study, trials[record["trial"]], record)


def tell(study: optuna.Study, trial: Trial, record: Record) -> None:
    """How a configuration ended. A pruned one is told as pruned at its epoch, never as a full score."""
    if record["state"] == "complete":
        study.tell(trial, record["score"])
    elif record["state"] == "pruned":
        trial.report(record["score"], step=record["epoch"])
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, state=TrialState.FAIL)


def derived_seed(seed: int, *names: object) -> int:
    """A seed of 31 bits that follows from another seed and names, the same everywhere."""
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def pack_name(pack: int) -> str:
    return f"pack-{pack:05d}.json"


def read_packs(storage: Storage, skip: set[int] | None = None) -> dict[int, list[Record]]:
    """The records of every pack of a fold that has ended, by its number."""
    known = skip or set()
    numbers = [int(name[len("pack-") : -len(".json")]) for name in storage.names() if name.startswith("pack-")]
    return {n: storage.read_json(pack_name(n))["records"] for n in numbers if n not in known}


def read_pack_times(storage: Storage) -> list[Record]:
    """Where and when every pack of a fold was trained: `fold`, `pack`, `configurations`, and what its process noted.

    `node`, `process`, `started` and `ended` (seconds since 1970); packs that noted nothing are left out.
    """
    files = [storage.read_json(name) for name in storage.names() if name.startswith("pack-")]
    return [
        {"fold": file["fold"], "pack": file["pack"], "configurations": len(file["records"]), **file["ran"]}
        for file in files
        if "ran" in file
    ]


@dataclass
class SearchProblem:
    """What a searcher has to know of its fold."""

    config: SearchConfig
    packs: Storage
    dim: int
    seed: int
    lag: int


class PackSearcher(Searcher):  # type: ignore[misc]
    """Hands Tune the packs of a fold that have not ended yet, in order."""

    def __init__(self, problem: SearchProblem) -> None:
        super().__init__(metric="score", mode="max")
        self._problem = problem
        self._study = FoldStudy(problem.config, dim=problem.dim, seed=problem.seed, lag=problem.lag)
        self._records = read_packs(problem.packs)
        self._next = 0
        self._broken = False

    @property
    def num_left(self) -> int:
        return self._problem.config.num_packs - len(self._records)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack as `{"pack": number, "params": [...]}`; None while an earlier one is awaited."""
        while self._next < self._problem.config.num_packs and not self._broken:
            pack = self._next
            if not self._study.ready(pack, self._records):
                self._records |= read_packs(self._problem.packs, set(self._records))
            if not self._study.ready(pack, self._records):
                return None
            params = self._study.ask(pack, self._records)
            self._next += 1
            if pack not in self._records:
                return {"pack": pack, "params": params}
        return str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: Record | None = None, error: bool = False) -> None:
        """The pack's file is what counts; one that will never come ends the search, as others wait for it."""
        self._broken = self._broken or error or REFUSED in (result or {})

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is rebuilt from the pack files."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore, likewise."""
