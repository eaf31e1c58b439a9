"""
The options of a call that change its answers or its URLs, and whether two calls agree in them.

Fields that the client adds, such as headers, are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from asyncbatch import Fetcher, FetcherOptions
from asyncbatch._lanes.client._binding import binding_of
from asyncbatch._values._request import Request

_GIVEN = ("base_url", "follow_redirects", "max_redirects", "max_body", "addresses", "check")


class Answers:
    """
    The options of a call that change answers.

    Args:
        options: All options of the call.
    """

    def __init__(self, options: FetcherOptions) -> None:
        given = cast("Mapping[str, Any]", options)
        own: Any = {name: given[name] for name in _GIVEN if name in given}
        # It sends nothing.
        self._fetcher = Fetcher(**own)
        self._client = self._fetcher.client
        self._binding = binding_of(self._client)

    def locate(self, item: object) -> Any:
        """
        Return the absolute URL of a request.

        Raises:
            Exception: If it has none.
        """
        return self._binding.located(self._client, Request.of(item).url)

    def options(self) -> dict[str, Any]:
        """Return the options that change answers, for JSON."""
        return self._fetcher._answer_options()  # pyright: ignore[reportPrivateUsage]
