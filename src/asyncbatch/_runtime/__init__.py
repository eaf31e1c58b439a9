"""What runs beneath all rooms: the clock, slots, threads, and the time a loop stood still."""
