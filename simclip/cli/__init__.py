"""The command line: one module per command, what they print in a terminal, and how figures are worded."""
