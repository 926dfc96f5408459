"""The study file: its fields, the arms and trials that follow from it."""
