"""What is allowed, and for how long a host is left alone: pure, without I/O and clocks."""
