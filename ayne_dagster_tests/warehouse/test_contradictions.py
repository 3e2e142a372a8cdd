"""The proof of how wrong IMDb ids are found, in small: what it invents is what it says, and its floors hold."""

from __future__ import annotations

import random

import pytest

from ayne_dagster.warehouse.matching.same_work import Match, compare_works, omdb_work, tmdb_work
from proofs import contradictions as proof


def test_hardly_a_right_id_is_condemned() -> None:
    assert proof.counted(5, 4_000, proof.right)[Match.ANOTHER] <= 2


@pytest.mark.parametrize(("kind", "least"), [("a stranger", 0.8), ("a remake", 0.65), ("an episode", 0.8)])
def test_most_ids_of_clearly_another_work_are_found(kind: str, least: float) -> None:
    assert proof.counted(5, 400, proof.WRONG[kind])[Match.ANOTHER] > least * 400


def test_an_answer_told_without_errors_is_of_its_film() -> None:
    luck = random.Random(3)
    for _ in range(200):
        work = proof.film(luck)
        assert compare_works(tmdb_work(work), omdb_work(proof.answer(work))).match is Match.SAME


def test_precision_is_the_share_of_what_is_condemned_that_deserves_it() -> None:
    assert proof.precision(condemned=0.01, found=0.5, wrong=0.5) == pytest.approx(0.5 / 0.51)
    assert proof.precision(condemned=0.0, found=0.5, wrong=0.01) == 1
    assert proof.precision(condemned=0.0, found=0.0, wrong=0.01) == 0


def test_a_floor_that_is_not_kept_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert proof.main(["--right", "100", "--wrong", "200"]) == 0
    assert "\nkept: " in capsys.readouterr().out
    monkeypatch.setattr(proof, "LEAST_FOUND", 1.0)
    assert proof.main(["--right", "100", "--wrong", "200"]) == 1
    assert "NOT KEPT: " in capsys.readouterr().out
