"""What a recorder counted -> a verdict, its hypothesis' findings, what the decisions were worth, a comparison."""
