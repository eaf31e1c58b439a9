"""The soak test: millions of requests with faults, and whether anything grows meanwhile."""
