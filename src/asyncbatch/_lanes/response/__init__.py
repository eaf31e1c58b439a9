"""Decode what has arrived, and build responses from it."""
