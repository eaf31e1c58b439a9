"""From what has arrived to a response."""
