"""Several arms compared with one control on shared seeds."""
