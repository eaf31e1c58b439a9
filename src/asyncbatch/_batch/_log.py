"""
Log lines of the logger `asyncbatch`: events of hosts, and retries.

Hosts are named as in `Results.by_host`. No line contains a URL, a header or a body, since they may
be secret.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import cast

from asyncbatch._policies._health import DOWN_FOR
from asyncbatch._schedule import Job
from asyncbatch._schedule._host_rules import HostListener
from asyncbatch._values._host_key import HostKey, name_of
from asyncbatch._values._outcome import Outcome

logger = logging.getLogger("asyncbatch")


class HostLog(HostListener):
    """Logs the events of single hosts."""

    def paused(self, host: Hashable, seconds: float, *, is_asked: bool) -> None:
        """Log that a pause begins."""
        why = "it refuses requests" if is_asked else "it does not answer"
        logger.info("%s: paused for %.3g s, as %s", _name(host), seconds, why)

    def resumed(self, host: Hashable) -> None:
        """Log that a pause is over."""
        logger.info("%s: the pause is over", _name(host))

    def given_up(self, host: Hashable, failures: int, seconds: float) -> None:
        """Log that a host is given up."""
        logger.warning(
            "%s: given up for %.3g s, after %d attempts in %.3g s without an answer",
            _name(host),
            DOWN_FOR,
            failures,
            seconds,
        )

    def probed(self, host: Hashable) -> None:
        """Log that a host that was given up is probed."""
        logger.info("%s: one request looks whether it answers again", _name(host))

    def is_back(self, host: Hashable) -> None:
        """Log that a host is no longer given up."""
        logger.info("%s: no longer given up", _name(host))


def log_retry(job: Job, outcome: Outcome, delay: float) -> None:
    """Log that a request will be tried again."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    status = f", status {outcome.status_code}" if outcome.status_code is not None else ""
    logger.debug(
        "%s: request %d ended as %s%s at try %d, and is tried again in %.3g s",
        _name(job.host.key),
        job.index,
        outcome.kind,
        status,
        job.attempts,
        delay,
    )


def _name(host: Hashable) -> str:
    return name_of(cast("HostKey", host))
