"""Worlds with a name: what the strategies were not made for. Each is the default assumptions but for what it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ayne_dagster.simulation.assumptions import Assumptions


@dataclass(frozen=True)
class NamedWorld:
    """Assumptions that belong together."""

    name: str
    title: str
    differs: Mapping[str, float] = field(default_factory=dict)
    """By name of an assumption, what it is here."""
    budget: float | None = None
    """Multiple of what the age table asks for; None: any."""

    def assumptions(self, base: Assumptions) -> Assumptions:
        """Other assumptions with what is different in this world."""
        return Assumptions(**(asdict(base) | dict(self.differs)))


WORLDS: Mapping[str, NamedWorld] = {
    world.name: world
    for world in (
        NamedWorld("default", "as the strategies assume"),
        NamedWorld("pareto", "heavy-tailed rates: Pareto with exponent 1.2", {"rate_tail": 1.2}),
        NamedWorld("independent", "rates that know neither age nor popularity", {"rate_exponent": 0, "rate_decay": 0}),
        NamedWorld("bursts", "changes in bursts: nine times as often for a tenth of the time", {"burst": 9}),
        NamedWorld("seasons", "rates that swing by 90 % over a year", {"season": 0.9}),
        NamedWorld("shifts", "one movie in twenty changes twenty times as often from some day on", {"turns_hot": 0.05}),
        NamedWorld("outages", "a feed that is not read for 20 days, twice", {"outages": 2}),
        NamedWorld("bad_feed", "a feed of recall .5 and precision .2", {"recall": 0.5, "precision": 0.2}),
        NamedWorld("uneven_feed", "a feed that tells one change in ten of half the movies", {"uneven": 0.5}),
        NamedWorld("failures", "one request in ten fails", {"failures": 0.1}),
        NamedWorld("growth", "a catalogue that grows by half a year", {"growth": 0.5}),
        NamedWorld("unknown_popularity", "a catalogue without popularity", {"popularity_unknown": 1}),
        NamedWorld("tenth", "a tenth of the budget", budget=0.1),
        NamedWorld("large", "200,000 movies at 1,000 OMDb requests a day", {"movies": 200_000}, budget=0.626),
    )
}
