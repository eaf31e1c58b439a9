"""The way in for plain code: `fetch_many_sync`, `SyncFetcher`, and the event loop behind them."""
