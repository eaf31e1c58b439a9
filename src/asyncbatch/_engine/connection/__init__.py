"""One connection: the request that goes out, the response that comes in."""
