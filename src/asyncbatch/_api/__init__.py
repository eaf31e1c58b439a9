"""The asynchronous API: `fetch_many`, `Fetcher`, and their options."""
