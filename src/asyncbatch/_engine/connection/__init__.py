"""One connection: sends requests and receives responses."""
