"""Values that all rooms share: requests, results, errors, times, and what they are read by."""
