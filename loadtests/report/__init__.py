"""A judged result for people: terminal, one HTML page, pictures."""
