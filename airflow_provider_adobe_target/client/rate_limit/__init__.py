"""Rate limiters for Adobe Target's APIs."""
