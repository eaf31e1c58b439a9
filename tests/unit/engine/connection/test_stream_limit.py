"""How many streams are opened at a time follows what the server says, refuses and serves."""

from __future__ import annotations

from asyncbatch._engine.connection._stream_limit import StreamLimit


def test_there_is_room_below_what_the_server_allows() -> None:
    """Before it says how many, a guess holds."""
    limit = StreamLimit(2)

    assert [limit.has_room(count) for count in (0, 1, 2)] == [True, True, False]
    limit.allow(3)

    assert [limit.has_room(count) for count in (2, 3)] == [True, False]


def test_a_server_that_refuses_gets_as_many_as_it_has_kept() -> None:
    """And one more for each that it serves, up to what it allows."""
    limit = StreamLimit(100)

    limit.refused(7)
    assert limit.current == 7
    for _ in range(200):
        limit.served()

    assert limit.current == 100


def test_a_server_that_refuses_all_still_gets_one() -> None:
    """Otherwise nothing would show that it takes requests again."""
    limit = StreamLimit(100)

    limit.refused(0)

    assert limit.has_room(0)
    assert not limit.has_room(1)


def test_a_new_limit_takes_the_place_of_what_was_refused() -> None:
    """The server has sent another number of streams."""
    limit = StreamLimit(100)
    limit.refused(3)

    limit.allow(50)

    assert limit.current == 50


def test_there_is_no_room_once_the_connection_is_left() -> None:
    """However few streams are open."""
    limit = StreamLimit(100)

    limit.is_leaving = True

    assert not limit.has_room(0)
