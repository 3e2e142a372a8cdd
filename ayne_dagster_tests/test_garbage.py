"""How often garbage is looked for while answers stream in."""

import gc
import weakref

import pytest

from ayne_dagster.collecting.garbage import NEW_OBJECTS, seldom_looked_for

pytestmark = pytest.mark.usefixtures("nothing_frozen")


def state() -> tuple[bool, int]:
    """Whether objects are left out of the search, and how many new ones bring it on."""
    return gc.get_freeze_count() > 0, gc.get_threshold()[0]


def test_within_the_block_what_was_there_is_left_out_and_new_objects_are_looked_through_seldom() -> None:
    before = state()
    with seldom_looked_for():
        assert state() == (True, NEW_OBJECTS)
    assert state() == before


def test_after_an_error_all_is_as_before() -> None:
    before = state()
    with pytest.raises(ValueError, match="of the stream"), seldom_looked_for():
        raise ValueError("of the stream")
    assert state() == before


def test_blocks_that_overlap_end_it_with_the_last() -> None:
    before = state()
    first, second = seldom_looked_for(), seldom_looked_for()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert state() == (True, NEW_OBJECTS)
    second.__exit__(None, None, None)
    assert state() == before


def test_a_threshold_that_is_higher_stays() -> None:
    gc.set_threshold(5 * NEW_OBJECTS, 20, 30)
    with seldom_looked_for():
        assert gc.get_threshold() == (5 * NEW_OBJECTS, 20, 30)


def test_what_somebody_else_has_left_out_stays_left_out() -> None:
    gc.freeze()
    threshold = gc.get_threshold()
    with seldom_looked_for():
        assert gc.get_threshold() == threshold
    assert gc.get_freeze_count() > 0


def test_a_search_that_is_switched_off_stays_off() -> None:
    gc.disable()
    with seldom_looked_for():
        assert not gc.get_freeze_count()
    assert not gc.isenabled()


class Cycle:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_of_the_block_is_still_found() -> None:
    with seldom_looked_for():
        found = weakref.ref(Cycle())
        kept = [[number] for number in range(3 * NEW_OBJECTS)]
        assert found() is None, f"{len(kept):,} new objects brought no search"
