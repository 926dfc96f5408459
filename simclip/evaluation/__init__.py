"""Evaluation sets: what they measure, reading them, and scoring a model on them."""
