"""Slow, independent ways to the same answers: the solvers here import nothing of what they judge."""
