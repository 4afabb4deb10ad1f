"""Nights that run themselves: what a night does, how the system starts it, what it leaves for the morning."""
