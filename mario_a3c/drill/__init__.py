"""Drilling an agent until its likeliest actions finish after every number of no-op frames."""
