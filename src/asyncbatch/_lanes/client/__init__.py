"""httpx clients, ours and the caller's, and how a request is sent through them."""
