"""What speed comes to: ours and the original's way of each step, side by side, on the same data, in one run."""

import tests.torchvision_operators  # noqa: F401  (before transformers is imported, beside OpenCLIP)
