"""What speed comes to: ours and the original's way of each step, side by side, on the same data, in one run."""
