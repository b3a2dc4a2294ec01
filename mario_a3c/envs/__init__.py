"""Environments: what the agent plays. Nothing in here knows of learning."""
