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
    rate_exponent: float = field(default=0.35, metadata={"help": "Rates grow with popularity to this power."})
    rate_decay: float = field(default=0.5, metadata={"help": "Rates fall as (1 + age/90 days) to minus this power."})
    popularity_spread: float = field(default=1.6, metadata={"help": "Spread (sigma) of ln(popularity)."})
    mean_age_years: float = field(default=25.0, metadata={"help": "Mean age of a movie; sets how many are new."})
    recall: float = field(default=0.9, metadata={"help": "Share of the changes that the feed signals."})
    precision: float = field(default=0.5, metadata={"help": "Probability that a signal stands for a change."})
    delay_days: int = field(default=1, metadata={"help": "Days from a change to its signal."})

    def __post_init__(self) -> None:
        positive = ("movies", "mean_rate", "mean_age_years", "delay_days")
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("rate_spread", "rate_exponent", "rate_decay", "popularity_spread"):
            if not 0 <= getattr(self, name) <= 4:
                raise ValueError(f"{name} must be 0 to 4, not {getattr(self, name)}")
        for name in ("recall", "precision"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not be {getattr(self, name)}")
