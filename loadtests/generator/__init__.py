"""The load: when requests are sent, how, by whom, and what happened to each."""
