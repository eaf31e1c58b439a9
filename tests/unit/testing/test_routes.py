"""
Which answer a request gets.
"""

from __future__ import annotations

import pytest

from asyncbatch.testing import Answer, End, RecordedRequest, Reply
from asyncbatch.testing._routes import Routes


def ask(routes: Routes, target: str = "/", *, method: str = "GET", host: int = 1) -> str:
    """Return the body of the answer."""
    request = RecordedRequest(
        method=method,
        target=target,
        raw_headers=(),
        body=b"",
        http_version="1.1",
        keep_alive=True,
        host=host,
    )
    sent, end = routes.steps(request)
    assert isinstance(sent, bytes)
    assert end is End.KEEP
    return sent.partition(b"\r\n\r\n")[2].decode()


def routes(*answers: Answer, path: str = "/", **narrowed: object) -> Routes:
    result = Routes(Reply(body="default"), seed=0)
    options: dict[str, object] = {"host": None, "method": None, **narrowed}
    result.add(path, answers, **options)  # type: ignore[arg-type]
    return result


def test_what_no_route_matches_gets_the_default() -> None:
    """The default answers whatever was not scripted."""
    assert ask(routes(Reply(body="a")), "/other") == "default"


def test_what_is_not_scripted_is_not_found() -> None:
    """A misspelt URL fails, and the answer says why; the path of no path at all is there."""
    scripted = Routes(None, seed=0)
    scripted.add("/items", (Reply(body="a"),), None, "GET")

    assert ask(scripted, "/items") == "a"
    assert ask(scripted, "/itmes?q=1") == "no answer is scripted for GET /itmes\n"
    assert ask(scripted, "/items", method="PUT") == "no answer is scripted for PUT /items\n"
    assert ask(scripted, "/") == "ok"


def test_where_nothing_is_scripted_everything_is_found() -> None:
    """There is nothing that could be misspelt."""
    assert ask(Routes(None, seed=0), "/anything") == "ok"


@pytest.mark.parametrize(
    ("path", "target", "matches"),
    [
        ("/a", "/a", True),
        ("/a", "/a?b=c", True),
        ("/a", "/a/", False),
        ("/a/*", "/a/b/c", True),
        ("/a/*", "/a", False),
        ("*.txt", "/a/b.txt", True),
        ("*.txt", "/a/btxt", False),
        ("/*/b/*", "/a/b/c", True),
        ("*", "/anything", True),
    ],
)
def test_a_star_stands_for_any_text(path: str, target: str, matches: bool) -> None:
    """A path is matched whole and without the query, and nothing but the star is special."""
    assert (ask(routes(Reply(body="a"), path=path), target) == "a") is matches


def test_a_route_can_be_for_one_host_or_method() -> None:
    """What the route is narrowed to does not concern other requests."""
    on_host, on_method = routes(Reply(body="a"), host=2), routes(Reply(body="a"), method="PUT")

    assert [ask(on_host, host=1), ask(on_host, host=2)] == ["default", "a"]
    assert [ask(on_method), ask(on_method, method="PUT")] == ["default", "a"]


def test_the_route_added_last_wins() -> None:
    """A test can override what its fixture scripted."""
    script = routes(Reply(body="a"))
    script.add("*", (Reply(body="b"),), None, None)

    assert ask(script) == "b"


def test_answers_take_turns_and_the_last_one_stays() -> None:
    """A URL that fails twice and then succeeds is three answers."""
    script = routes(Reply(body="a"), Reply(body="b"), Reply(body="c"))

    assert [ask(script) for _ in range(5)] == ["a", "b", "c", "c", "c"]


def test_each_url_has_its_own_turn() -> None:
    """Method, host, path and query tell URLs apart."""
    script = routes(Reply(body="a"), Reply(body="b"), path="*")
    ask(script, "/x")

    assert ask(script, "/x") == "b"
    assert (
        ask(script, "/x?q") == ask(script, "/x", host=2) == ask(script, "/x", method="PUT") == "a"
    )


def test_a_function_picks_the_answer() -> None:
    """A function of the request stands wherever a behaviour does."""
    script = routes(Reply(body="first"), lambda request: Reply(body=request.query))

    assert [ask(script, "/?q"), ask(script, "/?q")] == ["first", "q"]


def test_a_route_needs_an_answer() -> None:
    """A route without answers is a mistake, and says so."""
    with pytest.raises(ValueError, match="no answer for '/'"):
        routes()


def delays(seed: int, targets: list[str]) -> dict[tuple[str, int], float]:
    """Return the delay of each URL's every turn, asked for in the order of `targets`."""
    script = Routes(Reply().delayed(1, jitter=1), seed)
    seen: dict[tuple[str, int], float] = {}
    for target in targets:
        request = RecordedRequest(
            method="GET",
            target=target,
            raw_headers=(),
            body=b"",
            http_version="1.1",
            keep_alive=True,
        )
        wait = next(script.steps(request))
        assert isinstance(wait, float)
        seen[target, sum(earlier == target for earlier, _ in seen)] = wait
    return seen


def test_jitter_depends_on_seed_url_and_turn_alone() -> None:
    """The order in which requests happen to arrive changes no delay, another seed all."""
    delay = delays(0, ["/a", "/a", "/b"])

    assert delay == delays(0, ["/b", "/a", "/a"])
    assert len(set(delay.values())) == 3
    assert all(1 <= wait <= 2 for wait in delay.values())
    assert set(delay.values()).isdisjoint(delays(1, ["/a", "/a", "/b"]).values())
