"""The native engine against nes-py, frame by frame; see ``__main__``."""
