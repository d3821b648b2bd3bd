"""What is searched: probe families with their ranges, and the ranges of the optimisation."""
