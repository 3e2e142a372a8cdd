"""What the simulation assumes about movies, changes and the feed: one parameter each. No randomness, no rules."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Assumptions:
    """The modelled world. Rates are relevant changes a day; a source without a feed never signals.

    Raises:
        ValueError: a value is out of its range.
    """

    movies: int = field(default=20_000, metadata={"help": "Movies known on the first day."})
    mean_rate: float = field(default=0.0047, metadata={"help": "Relevant changes a day a movie, on average."})
    rate_spread: float = field(default=0.8, metadata={"help": "Spread (sigma) of ln(rate) between like movies."})
    rate_tail: float = field(
        default=0.0, metadata={"help": "Above 0: rates of like movies are Pareto with this exponent, not lognormal."}
    )
    rate_exponent: float = field(default=0.35, metadata={"help": "Rates grow with popularity to this power."})
    rate_decay: float = field(default=0.5, metadata={"help": "Rates fall as (1 + age/90 days) to minus this power."})
    popularity_spread: float = field(default=1.6, metadata={"help": "Spread (sigma) of ln(popularity)."})
    popularity_unknown: float = field(default=0.0, metadata={"help": "Share of movies whose popularity is not told."})
    mean_age_years: float = field(default=25.0, metadata={"help": "Mean age of a movie; sets how many are new."})
    burst: float = field(
        default=1.0, metadata={"help": "Changes come in bursts: so many times as often for a tenth of the time."}
    )
    season: float = field(default=0.0, metadata={"help": "Rates swing by this share over a year, each in its own."})
    turns_hot: float = field(
        default=0.0, metadata={"help": "Share of the movies that change 20 times as often from some day on."}
    )
    growth: float = field(default=0.0, metadata={"help": "Share of older movies that is added a year."})
    failures: float = field(default=0.0, metadata={"help": "Share of the requests that fail."})
    recall: float = field(default=0.9, metadata={"help": "Share of the changes that the feed signals."})
    precision: float = field(default=0.5, metadata={"help": "Probability that a signal stands for a change."})
    uneven: float = field(default=0.0, metadata={"help": "Share of movies of which the feed tells one change in ten."})
    outages: int = field(default=0, metadata={"help": "How many times the feed is not read for 20 days."})
    delay_days: int = field(default=1, metadata={"help": "Days from a change to its signal."})

    def __post_init__(self) -> None:
        positive = ("movies", "mean_rate", "mean_age_years", "delay_days")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("rate_spread", "rate_tail", "rate_exponent", "rate_decay", "popularity_spread", "growth"):
            self._check(name, 0, 4)
        for name in ("popularity_unknown", "season", "turns_hot", "uneven"):
            self._check(name, 0, 1)
        self._check("burst", 1, 10)
        self._check("failures", 0, 0.9)
        self._check("outages", 0, 10)
        if 0 < self.rate_tail <= 1:
            raise ValueError(f"rate_tail must be 0 or above 1, not {self.rate_tail}: there is no mean otherwise")
        for name in ("recall", "precision"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not be {getattr(self, name)}")

    def _check(self, name: str, least: float, most: float) -> None:
        if not least <= getattr(self, name) <= most:
            raise ValueError(f"{name} must be {least:g} to {most:g}, not {getattr(self, name)}")
