"""Known production failures, each broken on purpose, seen, and mended."""
