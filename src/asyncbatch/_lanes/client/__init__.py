"""What is known of httpx clients: ours, the caller's, and how one request goes through them."""
