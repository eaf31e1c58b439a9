"""From an origin to an open connection: names, addresses, sockets, TLS."""
