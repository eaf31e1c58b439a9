"""The engine as an httpx transport."""
