"""Policies: rates, limits, retry budgets and the health of hosts; pure, without I/O and clocks."""
