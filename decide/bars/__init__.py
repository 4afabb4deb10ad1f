"""Decisions of a trader: sessions, sufficient history, signals, fills, backtest."""
