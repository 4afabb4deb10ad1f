"""The trader's verbs: extract, backtest, promote, pre-paper."""
