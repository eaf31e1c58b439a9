"""Moves bytes between a socket and a connection, plain or encrypted."""
