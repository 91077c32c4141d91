"""Profile API tokens and OAuth access tokens."""
