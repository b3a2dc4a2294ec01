"""Asynchronous advantage actor-critic (A3C) for Super Mario Bros, Atari and Gymnasium."""
