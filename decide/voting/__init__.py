"""Decisions of a gauge voter: forecast, allocate, re-vote, backtest."""
