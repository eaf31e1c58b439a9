"""Sort exceptions into kinds of failure."""
