"""The vocabulary every part shares: contracts, service-level objectives, settings, errors."""
