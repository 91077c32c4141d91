"""Rate limiters for the Adobe Target APIs."""
