"""Tables and lines in a terminal of any width."""
