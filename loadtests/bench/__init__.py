"""The measurements behind docs/reliability.md: make bench-faults, bench-overload, bench-autoscale, bench-issues."""
