"""Other programs that do the same work, run as their authors run them."""
