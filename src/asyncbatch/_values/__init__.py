"""Values that all packages share: requests, results, errors, times and their grammars."""
