"""The drills by name: a drill is a load, faults, a promise and a hypothesis, made from any design's plan."""
