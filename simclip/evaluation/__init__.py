"""Evaluation sets: each image and caption encoded once, then scored."""
