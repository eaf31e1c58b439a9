"""One host: its pauses, its opening, its outages and its budget, as requests to it show."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from asyncbatch._policies._rate import Rate
from asyncbatch._policies._retry_budget import RetryBudget
from asyncbatch._schedule import Job, JobState, RetryAction, RetryDecision, Schedule
from asyncbatch._schedule._host_rules import HostListener
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry
from tests.simulation import heard, new_hosts, refused, silent, succeeded, unconnected
from tests.unit.schedule.one_batch import Batch

# Pauses


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_pauses_its_host_as_long_as_it_asks(status: int) -> None:
    """`Retry-After` wins over the back-off, for the host and for the request."""
    batch = Batch()
    decision = batch.attempt(0.0, refused(status, retry_after=7.0))

    assert decision == RetryDecision(RetryAction.RETRY, 7.0)
    assert batch.opens_at() == 7.0


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_other_statuses_do_not_pause_the_host(status: int) -> None:
    """They are about the one request."""
    batch = Batch()
    decision = batch.attempt(0.0, refused(status, retry_after=7.0))

    assert decision == RetryDecision(RetryAction.RETRY, 7.0)
    assert batch.opens_at() == 0.0


def test_other_hosts_are_not_paused() -> None:
    """A host that refuses is one host."""
    batch = Batch()
    batch.attempt(0.0, refused(retry_after=7.0), host="h")

    assert batch.opens_at(host="other") == 0.0


def test_a_refusal_behind_a_redirect_pauses_both_hosts() -> None:
    """The one that said it, and the one whose requests would be led there again."""
    batch = Batch()
    batch.attempt(1.0, refused(retry_after=7.0), host="h", target="target")

    assert batch.opens_at(host="h", now=1.0) == 8.0
    assert batch.opens_at(host="target", now=1.0) == 8.0
    assert batch.opens_at(host="other", now=1.0) == 1.0


def test_a_host_that_redirects_lead_to_is_given_up_for_its_silence() -> None:
    """The host that leads there has answered each time."""
    batch = Batch(retry=Retry(attempts=1))
    for now in range(12):
        batch.add(host="h", now=now)
        job = batch.start(now)
        ended = now + 0.5
        outcome = Outcome(
            kind=FailureKind.timeout, heard=True, target_silent=True, started_at=float(now)
        )
        batch.schedule.overhear("target", job, outcome.of_target(), ended)
        batch.schedule.done(job, outcome, ended)

    batch.add(host="h", now=12.0)
    batch.add(host="target", now=12.0)
    assert batch.fates(12.0) == [JobState.START, JobState.HOST_DOWN]


def test_a_host_that_a_redirect_led_to_is_forgotten_when_its_pause_has_passed() -> None:
    """As any host that nothing is asked of."""
    batch = Batch(warm=0)
    batch.attempt(0.0, refused(retry_after=7.0), target="target")
    batch.schedule.close(0.0)
    batch.schedule = Schedule(batch.hosts)

    for second in range(100, 104):
        batch.attempt(float(second), succeeded())

    assert len(batch.hosts) == 0


def test_a_redirect_within_a_host_makes_its_refusal_count_once() -> None:
    """Its back-off is that of the first pause."""
    batch = Batch()
    batch.attempt(0.0, refused(), host="h", target="h")

    assert batch.opens_at(host="h") == 0.5


def test_a_pause_that_a_redirect_brought_holds_what_waits_already() -> None:
    """Also in another batch, which has been told."""
    hosts = new_hosts()
    one, other = Batch(hosts), Batch(hosts)
    told = []
    other.schedule.on_ready = lambda: told.append(True)
    other.add(2, host="target")
    one.attempt(1.0, refused(retry_after=7.0), host="h", target="target")

    assert other.fates(1.0) == []
    assert other.schedule.wake_at == 8.0
    job = other.start(8.0)
    other.schedule.done(job, succeeded(8.0), 8.1)
    assert other.fates(8.1) == [JobState.START]


def test_without_retry_after_the_pause_is_the_back_off_and_grows() -> None:
    """Each pause in a row doubles the bound; the request waits as long as its host."""
    batch = Batch(retry=Retry(attempts=10))
    now, pauses = 0.0, []
    for _ in range(6):
        decision = batch.attempt(now, refused())
        pauses.append(batch.opens_at(now=now) - now)
        assert decision == RetryDecision(RetryAction.RETRY, pauses[-1])
        batch.schedule.close(now)
        batch.schedule = Schedule(batch.hosts)
        now += 10.0

    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_success_ends_the_row_of_pauses() -> None:
    """The next pause is as short as the first."""
    batch = Batch()
    batch.attempt(0.0, refused())
    batch.attempt(10.0, refused(404))
    batch.attempt(11.0, refused())

    assert batch.opens_at(now=11.0) == 11.5


def test_of_a_burst_of_refusals_only_the_first_counts() -> None:
    """What was sent before the pause began says nothing about the pause."""
    batch = Batch()
    batch.add(10)
    jobs = [batch.start(0.0) for _ in range(10)]
    for job in jobs:
        batch.schedule.done(job, refused(), 1.0)
    assert batch.opens_at(now=1.0) == 1.5

    later = batch.start(1.5)
    batch.schedule.done(later, refused(started_at=1.5), 2.0)
    batch.schedule.close(2.0)
    assert batch.opens_at(now=2.0) == 3.0


def test_a_success_sent_before_the_pause_does_not_end_the_row() -> None:
    """It was answered before the server had enough."""
    batch = Batch()
    batch.add(2)
    first, second = batch.start(0.0), batch.start(0.0)
    batch.schedule.done(first, refused(), 1.0)
    batch.schedule.done(second, succeeded(), 1.1)
    batch.attempt(5.0, refused())
    batch.schedule.close(5.0)

    assert batch.opens_at(now=5.0) == 6.0


def test_a_success_between_two_pauses_ends_the_row_though_it_comes_late() -> None:
    """It was sent after the one and answered after the other began: the third is but the second."""
    batch = Batch(give_up_host_after=None)
    batch.attempt(0.0, refused(404))
    batch.add(2)
    old, early = starts(batch, 0.0)
    batch.schedule.done(early, refused(), 0.0)
    batch.schedule.done(old, succeeded(), 0.1)
    batch.add(3, now=1.0)
    between, late, *_ = starts(batch, 1.0)
    batch.schedule.done(late, refused(started_at=1.0), 1.1)
    batch.schedule.done(between, succeeded(1.0), 1.2)
    batch.schedule.close(5.0)
    batch.schedule = Schedule(batch.hosts)
    batch.attempt(5.0, refused())
    batch.schedule.close(5.0)

    assert batch.opens_at(now=5.0) == 6.0


def test_a_longer_retry_after_from_the_same_burst_extends_the_pause() -> None:
    """A shorter one does not cut it."""
    batch = Batch()
    batch.add(3)
    jobs = [batch.start(0.0) for _ in range(3)]
    for job, seconds in zip(jobs, (5.0, 9.0, 2.0), strict=True):
        batch.schedule.done(job, refused(retry_after=seconds), 1.0)

    assert batch.opens_at(now=1.0) == 10.0


def test_a_retry_after_beyond_the_maximum_pauses_by_the_back_off_only() -> None:
    """The request fails with the value; the others find out for themselves."""
    batch = Batch()
    decision = batch.attempt(0.0, refused(retry_after=61.0))

    assert decision.action is RetryAction.RETRY_AFTER_TOO_LONG
    assert batch.opens_at() == 0.5


@pytest.mark.parametrize("asked", [None, 5.0, 60.0, 3600.0])
def test_a_refusal_without_a_retry_policy_pauses_nobody(asked: float | None) -> None:
    """Whoever tries once means to be told, and not to hold up the others."""
    batch = Batch(retry=None)
    decision = batch.attempt(0.0, refused(retry_after=asked))

    assert decision.action is RetryAction.FINISH
    assert batch.opens_at() == 0.0


def test_a_refused_request_with_a_policy_of_its_own_goes_by_that() -> None:
    """Without a policy it pauses nobody; with one, its own limits count and not the fetcher's."""
    batch = Batch()
    batch.add(2)
    once, patient = batch.start(0.0), batch.start(0.0)
    once.retry = None
    patient.retry = Retry(attempts=2, retry_after_max=100.0)

    assert batch.schedule.done(once, refused(retry_after=50.0), 0.0).action is RetryAction.FINISH
    assert batch.opens_at() == 0.0
    decision = batch.schedule.done(patient, refused(retry_after=70.0), 0.0)
    assert (decision.action, decision.delay) == (RetryAction.RETRY, 70.0)
    assert batch.opens_at() == 70.0


@pytest.mark.parametrize("retry", [None, Retry(pause_hosts=False)])
@pytest.mark.parametrize("asked", [None, 5.0, 60.0])
def test_a_policy_that_pauses_no_host_pauses_none(retry: Retry | None, asked: float | None) -> None:
    """Whatever the server asks for: without a policy nothing is tried again, and nothing waits."""
    batch = Batch(retry=retry)
    batch.attempt(0.0, refused(retry_after=asked))

    assert batch.opens_at() == 0.0
    assert batch.hosts.get("h").slow_start is None


def test_a_policy_that_pauses_no_host_lets_the_request_wait_all_the_same() -> None:
    """It is the one that was refused."""
    batch = Batch(retry=Retry(pause_hosts=False))

    assert batch.attempt(0.0, refused(retry_after=5.0)) == RetryDecision(RetryAction.RETRY, 5.0)


@pytest.mark.parametrize("retry", [None, Retry(attempts=1, pause_hosts=False)])
def test_a_policy_that_pauses_no_host_pauses_none_in_an_outage(retry: Retry | None) -> None:
    """Each request finds out for itself, until the host is given up."""
    batch = Batch(retry=retry)
    for n in range(30):
        batch.attempt(n / 10, unconnected())
        assert batch.opens_at(now=n / 10) == n / 10
    batch.attempt(3.1, unconnected())
    batch.add(now=3.2)

    assert batch.hosts.get("h").is_down
    assert JobState.HOST_DOWN in batch.fates(3.2)


def test_a_refused_post_pauses_its_host_though_it_is_not_sent_again() -> None:
    """The pause is about the host, the repetition about the request."""
    batch = Batch()
    batch.add(method="POST")
    job = batch.start(0.0)
    # As if it had done something before it was refused.
    decision = batch.schedule.done(job, refused(retry_after=3.0), 0.0)

    assert decision.action is RetryAction.FINISH
    assert batch.opens_at() == 3.0


# Pauses that are too long


def test_a_paused_host_fails_at_once_what_has_a_shorter_deadline() -> None:
    """What waits already, what comes later, and what comes back from its rest; nothing else."""
    batch = Batch()
    refusing, resting, short, long = batch.add(4)
    assert [batch.start(0.0), batch.start(0.0)] == [refusing, resting]
    resting.deadline, short.allowed, long.allowed = 5.0, 6.5, 7.5
    assert batch.schedule.done(resting, refused(500), 0.0).action is RetryAction.RETRY
    batch.schedule.done(refusing, refused(retry_after=7.0), 0.0)
    batch.add(now=0.1, allowed=1.0)

    assert batch.fates(0.1) == [JobState.PAUSED] * 2
    assert short.state is JobState.PAUSED
    assert long.state is JobState.WAITING
    assert batch.fates(0.5) == [JobState.PAUSED], "its rest is over"
    assert resting.state is JobState.PAUSED


def test_a_shorter_pause_after_a_reopening_ends_what_cannot_wait_for_it() -> None:
    """The longer pause before it was ended, and what came since was not asked about it."""
    batch = Batch(retry=Retry(attempts=1), per_host=1)
    batch.add(3)
    batch.schedule.done(batch.start(0.0), refused(retry_after=50.0), 0.0)
    assert batch.fates(0.0) == []
    assert batch.hosts.reopen(lambda _: True, 5.0)
    refusing = batch.start(5.0)
    batch.add(now=5.0, allowed=10.0)
    batch.schedule.done(refusing, refused(started_at=5.0, retry_after=30.0), 6.0)

    assert batch.fates(6.0) == [JobState.PAUSED]


def test_the_pause_of_one_host_is_not_taken_for_that_of_the_next() -> None:
    """A batch uses the queue again of a host that was given up during its pause."""
    batch = Batch(retry=Retry(attempts=1), per_host=4, give_up_host_after=1)
    batch.add(4)
    batch.add(allowed=10.0)
    begun = [batch.start(0.0) for _ in range(4)]
    batch.schedule.done(begun[0], refused(retry_after=50.0), 0.0)
    assert batch.fates(0.0) == [JobState.PAUSED]
    batch.schedule.done(begun[1], unconnected(), 6.0)
    batch.schedule.done(begun[2], unconnected(), 9.5)
    assert batch.hosts.get("h").is_down
    assert batch.fates(9.5) == []
    batch.schedule.done(begun[3], unconnected(), 9.5)

    batch.add(4, host="other", now=9.5)
    refusing, *_ = [batch.start(9.5) for _ in range(4)]
    batch.add(host="other", now=9.5, allowed=10.0)
    batch.schedule.done(refusing, refused(started_at=9.5, retry_after=30.0), 10.0)

    assert batch.fates(10.0) == [JobState.PAUSED]


def test_a_pause_that_another_batch_brings_about_ends_what_cannot_wait_for_it() -> None:
    """And wakes the batch up for it, although it waits for something else."""
    hosts = new_hosts(per_host=1)
    one, other = Batch(hosts), Batch(hosts)
    one.add()
    job = one.start(0.0)
    other.add(3, allowed=5.0)
    assert other.fates(0.0) == []
    told: list[bool] = []
    other.schedule.on_ready = lambda: told.append(True)
    one.schedule.done(job, refused(retry_after=6.0), 1.0)

    assert told
    assert other.fates(1.0) == [JobState.PAUSED] * 3
    assert other.schedule.pending == 0


def test_a_request_that_a_pause_has_ended_is_not_ended_again_by_a_longer_one() -> None:
    """It waits to be handed out, when the second refusal comes."""
    batch = Batch(per_host=2, retry=Retry(attempts=1))
    batch.add(2)
    first, second = batch.start(0.0), batch.start(0.0)
    batch.add(allowed=1.0)
    assert batch.schedule.next(0.0) is None
    batch.schedule.done(first, refused(retry_after=5.0), 0.0)
    batch.schedule.done(second, refused(retry_after=30.0), 0.5)

    assert batch.fates(0.5) == [JobState.PAUSED]


class Told(HostListener):
    """Notes which hosts are open again."""

    def __init__(self) -> None:
        self.resumed_hosts: list[object] = []

    def resumed(self, host: object) -> None:
        self.resumed_hosts.append(host)


@pytest.mark.parametrize("is_given_up", [True, False])
def test_a_host_that_is_given_up_during_its_pause_does_not_resume(is_given_up: bool) -> None:
    """The end of the pause is nothing to tell of."""
    told = Told()
    batch = Batch(retry=Retry(attempts=1), give_up_host_after=1, listener=told)
    batch.add(3)
    first, *rest = [batch.start(0.0) for _ in range(3)]
    batch.schedule.done(first, refused(retry_after=10.0), 0.0)
    for job, now in zip(rest, (5.0, 9.0), strict=True):
        batch.schedule.done(job, unconnected() if is_given_up else succeeded(), now)
    assert batch.hosts.get("h").is_down is is_given_up
    batch.hosts.get("h").settle(10.0)

    assert told.resumed_hosts == ([] if is_given_up else ["h"])


@pytest.mark.parametrize("pause", [5.0, 4.9])
def test_a_paused_host_ends_what_is_not_started_of_a_batch_that_ends_before(pause: float) -> None:
    """It has no time to wait for it."""
    batch = Batch()
    batch.schedule.end_at(5.0)
    batch.add(3)
    job = batch.start(0.0)
    decision = batch.schedule.done(job, refused(retry_after=pause), 0.0)

    if pause < 5.0:
        assert decision.action is RetryAction.RETRY
        assert batch.fates(0.0) == []
        return
    assert (decision.action, decision.option) == (RetryAction.RETRY_AFTER_TOO_LONG, "batch_timeout")
    assert batch.fates(0.0) == [JobState.LATE] * 2


def test_a_refusal_that_outlasts_the_deadline_ends_the_request_with_what_was_asked_for() -> None:
    """As one that the policy does not wait for."""
    batch = Batch()
    batch.add()
    job = batch.start(0.0)
    job.deadline = 20.0
    decision = batch.schedule.done(job, refused(retry_after=30.0), 5.0)

    assert decision == RetryDecision(
        RetryAction.RETRY_AFTER_TOO_LONG, limit=15.0, option="deadline"
    )


# Opening after a pause


ONE_PAUSE = Retry(attempts=1)


def paused_batch(waiting: int, **policies: Any) -> Batch:
    """Make a batch with requests for a host that is paused up to the time 1."""
    batch = Batch(retry=ONE_PAUSE, **policies)
    batch.attempt(0.0, refused(retry_after=1.0))
    batch.add(waiting)
    assert batch.fates(0.0) == []
    assert batch.schedule.wake_at == 1.0
    return batch


def starts(batch: Batch, now: float) -> list[Job]:
    """Start everything that may start."""
    jobs = []
    while (job := batch.schedule.next(now)) is not None:
        assert job.state is JobState.START
        jobs.append(job)
    return jobs


def rounds(batch: Batch, now: float, seconds: float = 0.5) -> list[int]:
    """Let everything succeed that starts, round by round; return how many started in each."""
    sizes = []
    while batch.schedule.pending:
        jobs = starts(batch, now)
        sizes.append(len(jobs))
        now += seconds
        for job in jobs:
            batch.schedule.done(job, succeeded(now - seconds), now)
    return sizes


def test_a_host_opens_slowly_after_a_pause() -> None:
    """What waits does not come back all at once: each round is twice as large as the last."""
    batch = paused_batch(waiting=40)

    assert rounds(batch, 1.0) == [1, 2, 4, 8, 16, 9]


def test_a_host_opens_no_wider_than_its_cap() -> None:
    """And is as if there had been no pause then."""
    batch = paused_batch(waiting=20, per_host=3)

    assert rounds(batch, 1.0) == [1, 2, 3, 3, 3, 3, 3, 2]


@pytest.mark.parametrize("outcome", [refused(404), refused(500), heard()])
def test_whatever_is_an_answer_opens_a_host_further(outcome: Outcome) -> None:
    """It need not be a success: what counts is that the server has taken the request."""
    batch = paused_batch(waiting=4)
    job = batch.start(1.0)
    outcome.started_at = 1.0
    batch.schedule.done(job, outcome, 1.5)

    assert len(starts(batch, 1.5)) == 2


@pytest.mark.parametrize("end", ["release", "local"])
def test_what_tells_nothing_lets_one_go_in_its_place(end: str) -> None:
    """A request that was cancelled, or failed on our own side, has not been answered."""
    batch = paused_batch(waiting=4)
    job = batch.start(1.0)
    if end == "release":
        batch.schedule.release(job, 1.5)
    else:
        error = Outcome(kind=FailureKind.connect, error=Exception(), local=True)
        batch.schedule.done(job, error, 1.5)

    assert len(starts(batch, 1.5)) == 1


def test_a_refusal_closes_a_host_that_was_opening() -> None:
    """It begins again with one, and one for what is still in flight if that succeeds."""
    batch = paused_batch(waiting=20)
    batch.schedule.done(batch.start(1.0), succeeded(1.0), 1.1)
    first, second = starts(batch, 1.1)
    batch.schedule.done(first, refused(started_at=1.1, retry_after=1.0), 1.2)
    assert starts(batch, 2.1) == []
    assert len(starts(batch, 2.2)) == 1
    batch.schedule.done(second, succeeded(1.1), 2.3)

    assert len(starts(batch, 2.3)) == 1


def test_what_was_in_flight_before_the_pause_does_not_keep_a_host_closed() -> None:
    """It may hang for long, and takes no room."""
    batch = Batch(retry=ONE_PAUSE)
    batch.add(10)
    old = starts(batch, 0.0)
    batch.schedule.done(old.pop(), refused(retry_after=1.0), 0.1)
    batch.add(4, now=0.1)

    assert len(starts(batch, 1.1)) == 1


def test_a_host_opens_to_what_it_did_not_refuse() -> None:
    """Of 10 at once it has served 4, and refused 6: it will hardly refuse 4 now, and may take 5."""
    batch = Batch(retry=ONE_PAUSE)
    batch.add(10)
    old = starts(batch, 0.0)
    for job in old[:6]:
        batch.schedule.done(job, refused(retry_after=1.0), 0.1)
    for job in old[6:]:
        batch.schedule.done(job, succeeded(), 0.2)
    batch.add(20, now=0.3)

    assert len(starts(batch, 1.1)) == 5


def test_a_pause_that_grows_longer_does_not_open_a_host() -> None:
    """Nobody waits in the middle of it, but that is not because all have what they want."""
    batch = Batch(retry=ONE_PAUSE)
    batch.add(2)
    first, straggler = starts(batch, 0.0)
    batch.schedule.done(first, refused(retry_after=1.0), 0.1)
    batch.add(3, now=0.1)
    batch.schedule.done(batch.start(1.1), succeeded(1.1), 1.2)
    let_in = starts(batch, 1.2)
    batch.schedule.done(straggler, refused(retry_after=5.0), 1.3)
    batch.schedule.done(let_in[0], succeeded(1.2), 1.4)
    batch.add(9, now=1.5)

    assert len(let_in) == 2
    assert len(starts(batch, 6.3)) == 2


def test_a_server_that_answers_slowly_is_not_opened_as_slowly() -> None:
    """What has not been refused within a second will hardly be: the number doubles by itself."""
    batch = paused_batch(waiting=12)
    sizes = []
    now: float | None = 1.0
    while now is not None:
        sizes.append((now, len(starts(batch, now))))
        now = batch.schedule.wake_at

    assert sizes == [(1.0, 1), (2.0, 1), (3.0, 2), (4.0, 4), (5.0, 4)]


def test_a_host_that_has_answered_is_opened_by_the_second_when_its_answers_take_long() -> None:
    """From the moment on in which as many requests are in flight as may be."""
    batch = Batch(concurrency=100)
    for n in range(5):
        batch.attempt(n / 10, succeeded())
    batch.add(60, now=1.0)
    sizes = []
    now: float | None = 1.0
    while now is not None:
        sizes.append((now, len(starts(batch, now))))
        now = batch.schedule.wake_at

    assert sizes == [(1.0, 15), (2.0, 15), (3.0, 30)]


def test_a_host_where_nobody_waits_is_as_any_other_up_to_its_width() -> None:
    """It costs no more than one that was never paused, and goes on from where it was."""
    batch = paused_batch(waiting=3)
    assert rounds(batch, 1.0) == [1, 2]
    assert batch.hosts.get("h").plain
    batch.add(50, now=1.2)

    assert len(starts(batch, 1.2)) == 4


def test_several_batches_share_the_opening_of_a_host() -> None:
    """One starts something, and it is the other's turn then; nobody is forgotten."""
    hosts = new_hosts(retry=ONE_PAUSE)
    one, other = Batch(hosts), Batch(hosts)
    one.attempt(0.0, refused(retry_after=1.0))
    one.add(8)
    other.add(8)
    assert one.fates(0.0) == other.fates(0.0) == []
    now, sizes = 1.0, []
    while one.schedule.pending or other.schedule.pending:
        # Each has all the permits it wants, and is asked for as long as anything starts.
        jobs: list[tuple[Batch, Job]] = []
        while new := [(batch, job) for batch in (one, other) for job in starts(batch, now)]:
            jobs += new
        sizes.append((len(jobs), len({id(batch) for batch, _ in jobs})))
        now += 0.5
        for batch, job in jobs:
            batch.schedule.done(job, succeeded(now - 0.5), now)

    assert sizes == [(1, 1), (2, 2), (4, 2), (8, 2), (1, 1)]


def test_it_is_not_the_same_request_that_is_refused_after_each_pause() -> None:
    """A server that stays busy for long costs many requests a try, and none of them all."""
    batch = Batch()
    batch.add(20)
    first, now = batch.start(0.0), 0.0
    refusals = [batch.schedule.done(first, refused(retry_after=1.0), 0.0)]
    for _ in range(15):
        now += 1.0
        job = batch.start(now)
        refusals.append(batch.schedule.done(job, refused(started_at=now, retry_after=1.0), now))

    assert {decision.action for decision in refusals} == {RetryAction.RETRY}
    assert sum(rounds(batch, now + 1.0)) == 20


def test_waiting_for_a_host_to_open_counts_as_throttled() -> None:
    """As waiting for the pause itself: more permits would not have helped."""
    batch = paused_batch(waiting=3)
    batch.schedule.done(batch.start(1.0), succeeded(1.0), 1.4)
    jobs = starts(batch, 1.4)

    assert [job.throttled for job in jobs] == pytest.approx([1.4, 1.4])
    assert [job.queued for job in jobs] == pytest.approx([0.0, 0.0])


# Opening at the first requests


def test_a_host_opens_slowly_at_its_first_requests() -> None:
    """Ten at a time, and one more for each answer."""
    batch = Batch(concurrency=100)
    batch.add(200)

    assert rounds(batch, 0.0) == [10, 20, 40, 80, 50]


def test_a_host_that_is_wide_open_stays_so() -> None:
    """No more than there ever are in flight need be allowed, and nothing is counted any more."""
    batch = Batch(concurrency=40)
    batch.add(300)

    assert rounds(batch, 0.0) == [10, 20, 270]
    assert batch.hosts.get("h").steady


def test_answers_count_before_there_are_as_many_requests() -> None:
    """A host that has answered 15 times, one by one, is asked 25 things at once."""
    batch = Batch(concurrency=100)
    batch.add()
    keeps_it = batch.start(0.0)
    for n in range(15):
        batch.attempt(float(n), succeeded())
    batch.add(200, now=20.0)

    assert len(starts(batch, 20.0)) == 24
    assert keeps_it.state is JobState.START


def test_a_host_that_never_answers_holds_ten_slots_and_no_more() -> None:
    """However long it takes: only an answer opens it further, not time."""
    batch = Batch()
    batch.add(100)

    assert [len(starts(batch, now)) for now in (0.0, 1.0, 5.0, 29.0)] == [10, 0, 0, 0]
    assert batch.schedule.wake_at is None


def test_a_host_that_answers_slowly_opens_with_time_after_its_first_answer() -> None:
    """It is alive, and there is no telling how long each of its answers takes."""
    batch = Batch()
    batch.add(100)
    first = starts(batch, 0.0)
    batch.schedule.done(first[0], succeeded(), 5.0)

    assert [len(starts(batch, now)) for now in (5.0, 5.9, 6.0, 7.0)] == [2, 0, 11, 22]


def test_a_refusal_is_no_answer_that_opens_a_host() -> None:
    """The first requests are all refused, and pause nobody by this policy."""
    batch = Batch(retry=None)
    batch.add(100)
    for job in starts(batch, 0.0):
        batch.schedule.done(job, refused(429), 0.1)

    assert len(starts(batch, 0.1)) == 10


def test_a_cap_below_ten_is_all_there_is() -> None:
    """And a cap above is reached slowly."""
    low, high = Batch(per_host=4), Batch(per_host=25)
    low.add(20)
    high.add(100)

    assert rounds(low, 0.0) == [4] * 5
    assert rounds(high, 0.0) == [10, 20, 25, 25, 20]


def test_a_host_that_never_reaches_its_width_has_nothing_of_its_own_for_it() -> None:
    """Most hosts of a large crawl see a few requests."""
    batch = Batch()
    batch.add(10)
    jobs = starts(batch, 0.0)

    assert batch.hosts.get("h").slow_start is None
    assert batch.hosts.get("h").plain
    assert len(jobs) == 10


def test_what_was_cancelled_or_failed_on_our_own_side_opens_nothing() -> None:
    """Nor does it close anything."""
    batch = Batch()
    batch.add(100)
    jobs = starts(batch, 0.0)
    batch.schedule.release(jobs[0], 1.0)
    error = Exception("pool")
    outcome = Outcome(kind=FailureKind.timeout, error=error, local=True, heard=False)
    batch.schedule.done(jobs[1], outcome, 1.0)

    assert len(starts(batch, 1.0)) == 2


# Outages


def open_batch(waiting: int) -> Batch:
    """Make a batch with requests for a host that has answered and is wide open."""
    batch = Batch(concurrency=1)
    batch.add(2)
    for job in starts(batch, 0.0):
        batch.add(waiting // 2)
        batch.schedule.done(job, succeeded(), 0.0)
    assert batch.hosts.get("h").steady
    return batch


def outage(n: int = 10, *, now: float = 0.0, **policies: Any) -> Batch:
    """Make a batch with 100 requests waiting for a host that refuses to connect from `now` on."""
    batch = Batch(**{"retry": Retry(), **policies})
    batch.attempt(now - 1.0, succeeded(now - 1.0))
    batch.add(n, now=now)
    jobs = starts(batch, now)
    batch.add(100, now=now)
    for job in jobs:
        batch.schedule.done(job, unconnected(started_at=now), now)
    return batch


def test_a_burst_of_failures_pauses_the_host_once() -> None:
    """They belong to one round; the pause is the back-off."""
    batch = outage()

    assert not batch.hosts.get("h").is_down
    assert batch.fates(0.0) == []
    assert batch.schedule.wake_at == 0.5


def test_half_of_a_pause_between_rounds_is_fixed() -> None:
    """So that an absence of a fraction of a second does not take all tries of a request."""
    batch = outage(random=lambda: 0.0)

    assert batch.schedule.wake_at == 0.25


def test_after_a_round_one_request_finds_out_for_all() -> None:
    """The first that was never tried; and what has failed waits behind."""
    batch = outage()
    job = batch.start(0.5)

    assert job.attempts == 1
    assert batch.fates(0.6) == []


def test_the_pauses_between_rounds_grow_to_a_second() -> None:
    """So rounds come close enough to give a dead host up soon."""
    batch = outage()
    now, pauses = 0.5, [0.5]
    while not batch.hosts.get("h").is_down:
        batch.schedule.done(batch.start(now), unconnected(started_at=now), now)
        if not batch.hosts.get("h").is_down:
            opens_at = batch.hosts.get("h").paused_until
            pauses.append(opens_at - now)
            now = opens_at

    assert pauses == [0.5, 1.0, 1.0, 1.0]
    assert now == 3.5


def test_an_answer_after_a_round_opens_the_host_as_at_its_first_requests() -> None:
    """Nothing has been given up, and nobody comes back all at once."""
    batch = outage()
    batch.schedule.done(batch.start(0.5), succeeded(0.5), 0.6)

    assert rounds(batch, 0.6) == [10, 20, 40, 39]


def test_one_request_that_hangs_does_not_keep_a_host_closed_after_a_round() -> None:
    """The number doubles each second, up to ten, since that one may be slow by itself."""
    batch = outage()

    assert [len(starts(batch, now)) for now in (0.5, 1.5, 2.5, 3.5, 4.5, 9.0)] == [1, 1, 2, 4, 2, 0]


def test_a_single_failure_pauses_nobody() -> None:
    """It may be chance; the next request finds out."""
    batch = Batch()
    batch.attempt(0.0, unconnected())

    assert batch.opens_at() == 0.0


def test_two_failures_one_after_the_other_pause_a_host_where_nothing_else_is_in_flight() -> None:
    """There is nobody who could still be answered."""
    batch = Batch()
    batch.attempt(0.0, unconnected())
    batch.attempt(0.1, unconnected())

    assert batch.opens_at(now=0.1) == 0.6


def test_failures_among_answers_pause_nobody() -> None:
    """A server that drops one connection in two is not away."""
    batch = Batch()
    for n in range(30):
        batch.attempt(n / 10, unconnected())
        batch.attempt(n / 10, refused(404))

    assert batch.opens_at(now=3.0) == 3.0


def test_what_hangs_for_long_at_a_host_that_answers_brings_no_pause() -> None:
    """Ten requests run into their time limit at once: they have waited longer than any pause."""
    batch = open_batch(50)
    jobs = starts(batch, 9.0)
    for job in jobs[:10]:
        batch.schedule.done(job, silent(started_at=9.0), 39.0)
    batch.add(50, now=39.0)

    assert len(jobs) == 50
    assert not batch.hosts.get("h").is_down
    assert len(starts(batch, 39.0)) == 10, "it opens slowly, as nobody knows"


@pytest.mark.parametrize(
    "outcome",
    [unconnected(), silent(kind="timeout"), silent(kind="protocol")],
    ids=["connect", "timeout", "reset"],
)
def test_attempts_without_a_byte_of_an_answer_give_a_host_up(outcome: Outcome) -> None:
    """Connects that fail, silence until the time limit, connections that end before any byte."""
    batch = Batch(retry=None)
    for n in range(9):
        batch.attempt(n / 2, attrs.evolve(outcome))
        assert not batch.hosts.get("h").is_down
    batch.attempt(4.5, attrs.evolve(outcome))

    assert batch.hosts.get("h").is_down


def test_ten_failures_within_three_seconds_do_not_give_a_host_up() -> None:
    """A restart takes less."""
    batch = Batch(retry=None)
    for n in range(100):
        batch.attempt(n / 40, unconnected())

    assert not batch.hosts.get("h").is_down


def test_fewer_than_ten_failures_do_not_give_a_host_up_however_long_they_take() -> None:
    """One every ten seconds."""
    batch = Batch(retry=None)
    for n in range(9):
        batch.attempt(n * 10.0, unconnected())

    assert not batch.hosts.get("h").is_down


def test_a_host_that_never_answered_is_given_up_by_what_it_has_kept_waiting() -> None:
    """Ten that have waited for 30 s are enough: the row began when they did."""
    batch = Batch()
    batch.add(300)
    jobs = starts(batch, 0.0)
    for job in jobs[:-1]:
        batch.schedule.done(job, silent(), 30.0)
        assert starts(batch, 30.0) == [], "those that are under way tell enough"
    batch.schedule.done(jobs[-1], silent(), 30.0)

    assert len(jobs) == 10
    assert batch.fates(30.0) == [JobState.HOST_DOWN] * 290


def test_requests_that_are_cut_off_together_do_not_give_a_host_up() -> None:
    """However long they have been under way: until a moment ago there was a connection."""
    batch = Batch(concurrency=100)
    batch.add(10)
    for job in starts(batch, 0.0):
        batch.schedule.done(job, silent(kind="protocol"), 20.0)

    assert not batch.hosts.get("h").is_down


def test_a_name_that_does_not_exist_pauses_nobody() -> None:
    """There is nothing to wait for."""
    batch = Batch()
    for n in range(5):
        outcome = unconnected(permanent=True)
        outcome.kind = FailureKind.dns
        batch.attempt(n / 10, outcome)

    assert batch.opens_at(now=0.5) == 0.5


def test_an_outage_takes_nothing_from_the_budget() -> None:
    """Its rounds are bounded by the pauses, and the server would be blamed for being away."""
    batch = outage(n=10, retry=Retry(budget=0.0, attempts=9), concurrency=100)
    host = batch.hosts.get("h")
    assert host.budget is not None
    for _ in range(RetryBudget.RESERVE):
        assert host.budget.spend(0.5), "something has been taken"
    job = batch.start(0.5)

    assert batch.schedule.done(job, unconnected(started_at=0.5), 0.5).action is RetryAction.RETRY


def test_a_failure_among_answers_is_paid_from_the_budget() -> None:
    """It is no outage."""
    batch = Batch(retry=Retry(budget=0.0))
    taken = []
    for n in range(RetryBudget.RESERVE + 3):
        taken.append(batch.attempt(n / 1000, silent(kind="protocol")).action)
        batch.attempt(n / 1000, succeeded())

    assert taken.count(RetryAction.OUT_OF_BUDGET) == 3


def test_an_outage_that_lasts_is_paid_from_the_budget() -> None:
    """Where a host is never given up: after three seconds it is no restart."""
    batch = Batch(retry=Retry(budget=0.0, attempts=9), give_up_host_after=None)
    now, actions = 0.0, []
    batch.add(500)
    while now < 30.0:
        down = unconnected(started_at=now)
        actions += [batch.schedule.done(job, down, now).action for job in starts(batch, now)]
        now += 0.1

    assert RetryAction.OUT_OF_BUDGET in actions


# Hosts that are down


def test_a_host_that_does_not_answer_fails_fast_after_some_failures_in_a_row() -> None:
    """The failure before the last leaves it up."""
    batch = Batch(give_up_host_after=3, retry=None)
    for now in (0.0, 1.0):
        batch.attempt(now, unconnected())
    batch.add(now=2.0)
    assert batch.start(2.0).state is JobState.START

    batch.attempt(3.0, unconnected())
    batch.add(2, now=3.0)
    assert batch.fates(32.9) == [JobState.HOST_DOWN, JobState.HOST_DOWN]


def test_requests_that_wait_for_a_slot_fail_at_once_when_the_host_goes_down() -> None:
    """They need no slot to fail, and not the rate either."""
    batch = Batch(give_up_host_after=1, retry=None, per_host=1, rate=Rate(0.01))
    batch.add(4)
    job = batch.start(0.0)
    assert batch.schedule.next(0.0) is None
    batch.schedule.done(job, unconnected(), 3.0)

    assert batch.fates(3.0) == [JobState.HOST_DOWN] * 3
    assert batch.schedule.pending == batch.schedule.in_flight == 0


def test_one_probe_goes_out_while_the_others_fail_fast() -> None:
    """When the time is over nobody knows yet whether the host is back."""
    batch = down_batch()
    batch.add(3, now=40.0)

    assert batch.fates(40.0) == [JobState.START, JobState.HOST_DOWN, JobState.HOST_DOWN]


@pytest.mark.parametrize("outcome", [succeeded(), refused(500), heard()])
def test_a_probe_that_is_answered_brings_the_host_back(outcome: Outcome) -> None:
    """Whatever the answer is."""
    batch = down_batch()
    batch.attempt(40.0, outcome)
    batch.add(3, now=41.0)

    assert batch.fates(41.0) == [JobState.START] * 3


@pytest.mark.parametrize("outcome", [unconnected(), silent(), silent(kind="protocol")])
def test_a_probe_that_is_not_answered_keeps_the_host_down(outcome: Outcome) -> None:
    """For as long again, and then one more probe."""
    batch = down_batch()
    batch.attempt(40.0, outcome)
    batch.add(now=69.0)
    assert batch.fates(69.0) == [JobState.HOST_DOWN]

    batch.add(2, now=71.0)
    assert batch.fates(71.0) == [JobState.START, JobState.HOST_DOWN]


@pytest.mark.parametrize("end", ["release", "local", "blocked"])
def test_a_probe_that_tells_nothing_lets_another_go(end: str) -> None:
    """A cancelled probe must not leave the host down for ever."""
    batch = down_batch()
    batch.add(now=40.0)
    probe = batch.start(40.0)
    if end == "release":
        batch.schedule.release(probe, 41.0)
    else:
        kind = FailureKind(end) if end == "blocked" else FailureKind.timeout
        outcome = Outcome(kind=kind, error=Exception(), local=end == "local")
        batch.schedule.done(probe, outcome, 41.0)
    batch.schedule.close(41.0)
    other = Batch(batch.hosts)
    other.add(now=42.0)

    assert other.fates(42.0) == [JobState.START]


def test_an_answer_ends_the_row_of_failures() -> None:
    """Ten failures among successes are not a dead host."""
    batch = Batch(give_up_host_after=2, retry=None)
    for n in range(10):
        batch.attempt(n * 4.0, unconnected())
        batch.attempt(n * 4.0, refused(404))
    batch.add(now=40.0)

    assert batch.fates(40.0) == [JobState.START]


@pytest.mark.parametrize("kind", ["invalid_request", "blocked", "timeout"])
def test_what_tells_nothing_does_not_end_the_row_of_failures(kind: str) -> None:
    """A request that was not sent, or whose time our own side has used up."""
    batch = Batch(give_up_host_after=2, retry=None)
    batch.attempt(0.0, unconnected())
    batch.attempt(0.0, Outcome(kind=FailureKind(kind), error=Exception()))
    batch.attempt(3.0, unconnected())
    batch.add(now=3.0)

    assert batch.fates(3.0) == [JobState.HOST_DOWN]


def test_with_no_number_to_give_up_after_a_host_never_counts_as_down() -> None:
    """`give_up_host_after=None`."""
    batch = Batch(give_up_host_after=None, retry=None)
    for n in range(100):
        batch.attempt(float(n), unconnected())
    batch.add(now=100.0)

    assert batch.fates(100.0) == [JobState.START]


def test_a_request_whose_host_goes_down_ends_with_its_own_error() -> None:
    """Waiting for a retry would only bring it the news that the host is down."""
    batch = Batch(give_up_host_after=2)
    first = batch.attempt(0.0, unconnected())
    second = batch.attempt(3.0, unconnected())

    assert (first.action, second.action) == (RetryAction.RETRY, RetryAction.FINISH)


def down_batch() -> Batch:
    """Make a batch whose host has gone down at the time 3."""
    batch = Batch(give_up_host_after=2, retry=None)
    batch.attempt(0.0, unconnected())
    batch.attempt(3.0, unconnected())
    assert batch.hosts.get("h").is_down
    return batch
