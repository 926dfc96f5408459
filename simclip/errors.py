"""Exceptions that the command lines print as one line, without a traceback."""


class InputError(Exception):
    """Wrong input: what, where, what was expected and how to fix it, in one line.

    The command lines print its text to stderr without a traceback and exit with code 2.
    """


class LostError(Exception):
    """What a study ran on has gone; when there is another one, the same command goes on. Exit code 1."""
