"""A promise -> a verdict: open-loop drills against the Open Inference Protocol, on Locust."""
