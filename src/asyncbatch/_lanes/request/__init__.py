"""From a request of the caller's to what is sent."""
