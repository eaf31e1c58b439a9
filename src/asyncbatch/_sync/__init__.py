"""The synchronous API: `fetch_many_sync`, `SyncFetcher`, and the event loop that serves them."""
