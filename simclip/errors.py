"""The one exception for input that its author can mend."""


class InputError(Exception):
    """Wrong input: what, where, what was expected and how to fix it, in one line.

    The command lines print its text to stderr without a traceback and exit with code 2.
    """
