"""Which connection an exchange gets, and when one is opened or closed."""
