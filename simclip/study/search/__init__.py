"""Which trial runs next: planned trials, Optuna, early stopping by ASHA."""
