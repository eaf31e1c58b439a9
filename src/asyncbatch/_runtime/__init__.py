"""The runtime below all packages: clock, slots, threads, and the time of a blocked event loop."""
