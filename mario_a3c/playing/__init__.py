"""Agents played, shown and filmed."""
