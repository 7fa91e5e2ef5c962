"""Several hosts on one machine: a Ray cluster in network namespaces, to be cut and killed node by node."""
