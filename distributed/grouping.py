"""Groups of actors: chosen by chance, the same on every machine, and balanced by sex and by class."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NUM_DRAWS = 64  # seeded tries, of which the most even is taken


@dataclass(frozen=True)
class Actors:
    """What groups have to balance, by actor's name: videos of each class, and sex ("" where nothing says)."""

    counts: Mapping[str, Sequence[int]]
    sexes: Mapping[str, str]

    @property
    def totals(self) -> list[int]:
        """Videos of each class."""
        return [sum(column) for column in zip(*self.counts.values(), strict=True)]

    def only(self, names: Sequence[str]) -> Actors:
        return Actors({name: self.counts[name] for name in names}, self.sexes)

    def in_chance_order(self, key: str) -> list[str]:
        """Sex by sex; within a sex as sha256 of the key and the name falls."""
        return sorted(self.counts, key=lambda name: (self.sexes[name], _chance(key, name)))

    def unevenness(self, groups: Sequence[Sequence[str]]) -> tuple[int, float]:
        """How far groups are from their due: classes they lack, then the squared error of their class shares.

        A group's due share of every class is its share of the actors. `fsum` and a product round alike
        on every machine; `sum` and `**` need not.
        """
        lacking = 0
        errors: list[float] = []
        totals = self.totals
        for group in groups:
            held = [sum(column) for column in zip(*(self.counts[name] for name in group), strict=True)]
            due = len(group) / len(self.counts)
            for have, total in zip(held, totals, strict=True):
                lacking += have == 0 < total
                error = have / max(total, 1) - due
                errors.append(error * error)
        return lacking, math.fsum(errors)


def deal(actors: Actors, num_groups: int, key: str) -> list[list[str]]:
    """All actors in `num_groups` groups whose numbers of actors, and of each sex, differ by one at most."""
    orders = [actors.in_chance_order(f"{key}:{number}") for number in range(NUM_DRAWS)]
    # Dealt like cards: those of one sex follow each other, so every group gets its turn at each sex.
    return min(([order[i::num_groups] for i in range(num_groups)] for order in orders), key=actors.unevenness)


def draw(actors: Actors, share: float, key: str) -> list[str]:
    """A share of the actors, at least one of them and never all, from each sex as many as is its due."""
    size = min(max(1, round(share * len(actors.counts))), len(actors.counts) - 1)
    draws = [_draw_once(actors, size, f"{key}:{number}") for number in range(NUM_DRAWS)]

    def unevenness(chosen: list[str]) -> tuple[int, float]:
        return actors.unevenness([chosen, sorted(set(actors.counts) - set(chosen))])

    return min(draws, key=unevenness)


def _draw_once(actors: Actors, size: int, key: str) -> list[str]:
    """Quotas by largest remainders; chance decides between equal ones."""
    of_sex: dict[str, list[str]] = {}
    for name in actors.in_chance_order(key):
        of_sex.setdefault(actors.sexes[name], []).append(name)
    due = {sex: divmod(size * len(names), len(actors.counts)) for sex, names in of_sex.items()}
    quota = {sex: whole for sex, (whole, _) in due.items()}
    neediest = sorted(of_sex, key=lambda sex: (-due[sex][1], _chance(key, f"sex {sex}")))
    for sex in neediest[: size - sum(quota.values())]:
        quota[sex] += 1
    return [name for sex, names in of_sex.items() for name in names[: quota[sex]]]


def _chance(key: str, name: str) -> str:
    return hashlib.sha256(f"{key}:{name}".encode()).hexdigest()
