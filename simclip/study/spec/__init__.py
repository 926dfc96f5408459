"""What a study file says: its fields and parameters, and what arms and trials are."""
