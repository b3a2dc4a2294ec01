"""The tables of the documentation, measured from the agents; see ``__main__``."""
