"""The question, the design and its measured answers; one folder a system."""
