"""Polymarket: markets that close on a target day, their prices, and later what they resolved to."""
