"""The asynchronous way in: `fetch_many`, `Fetcher`, and their options."""
