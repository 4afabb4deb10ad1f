"""The gauge voter's verbs: recommend, submitted, backtest, allocate."""
