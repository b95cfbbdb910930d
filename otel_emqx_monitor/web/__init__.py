"""What stands between the network and the HTTP server: TLS, passwords, limits."""
