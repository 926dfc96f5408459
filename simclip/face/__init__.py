"""What a person sees: the live table, the ranked outcome, the commands."""
