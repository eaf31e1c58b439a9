"""Real HTTP/2 servers against the engine: `python -m tests.http2_servers`."""
