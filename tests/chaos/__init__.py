"""What a study loses when its processes are killed at random moments: nothing that it had on record."""
