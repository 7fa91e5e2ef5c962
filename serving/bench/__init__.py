"""The server against others, on one machine, with one model and one load generator: `make bench-serve`."""
