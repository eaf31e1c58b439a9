"""The state of a fetcher by host."""

from __future__ import annotations

from asyncbatch._api._statistics import HostStatistics, statistics_by_host
from asyncbatch._schedule import Job, Schedule
from asyncbatch._values._retry import Retry
from tests.simulation import new_hosts, refused


def test_the_origins_with_one_name_are_added_up() -> None:
    """The usual ports of http and https are two hosts here, and one where they are shown."""
    hosts = new_hosts(retry=Retry(attempts=1))
    schedule = Schedule(hosts)
    for key, pauses in ((("http", "a.test", 80), 5.0), (("https", "a.test", 443), 7.0)):
        for index in range(2):
            schedule.add(Job(None, index, hosts.get(key)), 0.0)
        job = schedule.next(0.0)
        assert job is not None
        assert schedule.next(0.0) is not None
        schedule.done(job, refused(retry_after=pauses), 0.0)

    class Running:
        """A batch, as far as it is asked."""

        unfinished_by_host = schedule.unfinished_by_host

    found = statistics_by_host(hosts, [Running()], 1.0)  # type: ignore[list-item]

    assert found == {
        "a.test": HostStatistics(in_flight=2, waiting=0, paused_until=6.0, given_up=False)
    }
