"""
The clients that the table is played against, each behind the same small surface.

Each module has functions that open a client, as async context managers, given the server's `Trust`.
"""
