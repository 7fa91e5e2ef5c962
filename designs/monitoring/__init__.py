"""Rules, alerts and dashboards that are made from what the designs promise and what the code exports.

A promise is written once, in a design's `drill`. The drill is judged by it, its error budget is scored with the
windows of `drillyard.core.burn`, and the alerts made here are those windows in Prometheus' own language.
"""
