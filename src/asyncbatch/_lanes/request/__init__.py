"""Check the caller's requests, and encode them for the engine."""
