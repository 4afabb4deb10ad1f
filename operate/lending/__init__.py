"""The lending researcher's verbs."""
