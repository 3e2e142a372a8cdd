"""The rules by which `proofs.omdb_evidence` asks OMDb, in small."""

from __future__ import annotations

import numpy as np
import pytest

from proofs.omdb_evidence import RULES, figures, fitted
from proofs.omdb_fields import COUPLINGS, OmdbWorld

RULE = {rule.name: rule for rule in RULES}


def test_jumps_of_imdbs_votes_and_rating_alone_draw_requests_to_what_the_file_tells() -> None:
    world = OmdbWorld(600, 180, 1, COUPLINGS["only_imdb"])
    (_, without, imdb_without, *_), (_, jumps, imdb_jumps, *_) = (
        figures(world, RULE[name], 1.0) for name in ("nothing read", "jumps as a feed")
    )
    assert imdb_jumps > imdb_without + 0.01
    assert jumps < without - 0.005


def test_whoever_knows_of_attention_wins_where_there_is_any_and_nothing_where_there_is_none() -> None:
    won = {}
    for name in ("strong", "none"):
        world = OmdbWorld(600, 180, 1, COUPLINGS[name])
        rates, attention = (figures(world, RULE[f"{known} known"], 1.0)[1] for known in ("rates", "attention"))
        won[name] = attention - rates
    assert won["strong"] > 0.005
    assert won["none"] == 0


@pytest.mark.parametrize("worth", [(1.0, 0.5, 0.0), (0.2, 0.05, 1.0)])
def test_what_each_evidence_is_worth_is_learned_from_what_was_found(worth: tuple[float, ...]) -> None:
    draw = np.random.default_rng(1)
    parts = np.stack([draw.exponential(0.5, 20_000), draw.poisson(0.3, 20_000), draw.poisson(0.2, 20_000)])
    changed = (draw.random(20_000) < -np.expm1(-(np.array(worth) @ parts))).astype(np.float64)
    assert fitted(parts, changed, np.array([0.5, 0.3, 0.1])) == pytest.approx(worth, abs=0.05)
