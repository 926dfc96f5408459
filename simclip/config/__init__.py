"""Vocabulary of all schemas: fields with traits, the schedule of p, evaluation sets, one-line error messages."""
