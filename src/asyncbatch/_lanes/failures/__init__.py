"""From exceptions to kinds of failure."""
