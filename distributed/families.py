"""The best configuration of every family, scored once beside a fold's winner, so that families can be compared.

Each was chosen by inner scores alone, as the winner was, and trained again with it in one pack. Nothing here replaces
the winner: the test scores of families are for comparing them, not for choosing one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distributed import metrics
from distributed.fold_tables import Member
from distributed.labelled_tokens import LabelledTokens, Rows
from distributed.refits import Refit, score
from distributed.search import Record
from distributed.selection import FamilyBest
from distributed.training import ProbeResult


def further_records(families: Sequence[FamilyBest], there: Sequence[Record]) -> list[Record]:
    """The families' configurations that are not among those that are trained anyway."""
    trials = {record["trial"] for record in there}
    return [best.record for best in families if best.record is not None and best.record["trial"] not in trials]


def family_results(
    tokens: LabelledTokens, test: Rows, families: Sequence[FamilyBest], trained: Sequence[Refit | ProbeResult]
) -> tuple[list[Record], list[Member]]:
    """A record for each family, with `reason` in place of scores where it has none, and the members of the others.

    `trained` holds what became of the families' configurations, which are found by their trials.
    """
    by_trial: Mapping[int, Refit | ProbeResult] = {one.spec.trial: one for one in reversed(trained)}
    records, members = [], []
    for number, best in enumerate(families):
        record = {"family": best.family, "tried": best.tried, "trial": None, "inner_score": None, "scores": None}
        if best.record is None:
            reason = f"none of its {best.tried} configurations was trained to the end"
            records.append({**record, "reason": reason})
            continue
        record |= {"trial": best.record["trial"], "params": best.record["params"], "inner_score": best.record["score"]}
        one = by_trial[best.record["trial"]]
        if not isinstance(one, Refit):
            records.append({**record, "reason": f"the refit of configuration {one.spec.trial} failed ({one.reason})"})
            continue
        scores, confusion = score(tokens, test, one.probabilities)
        recall = dict(zip(tokens.label_names, metrics.recall_per_class(confusion), strict=True))
        record |= {"scores": scores, "recall": recall, "confusion": confusion.tolist(), "reason": None}
        records.append(record)
        members.append(Member("family", number, one.spec.trial, one.spec.seed, one.probabilities))
    return records, members
