"""Programs that a test interrupts, or lets exit, in a process of their own."""
