"""Opens connections to origins: names, addresses, sockets, proxies, TLS."""
