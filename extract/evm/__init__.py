"""A JSON-RPC client for EVM chains: several providers with limits and failover, state reads, logs, blocks by
time.

`client.ChainClient` is the door; everything else is one job a module.
"""
