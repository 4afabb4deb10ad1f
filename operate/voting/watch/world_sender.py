"""The embedded chain's sender, whose node signs for everybody: `python -m operate.voting.watch.world_sender URL`."""

from __future__ import annotations

import json
import sys

from operate.voting.watch.world_clock import Node


def main() -> None:
    """Read a vote on standard input, have the node send it, print its hash."""
    vote, node = json.load(sys.stdin), Node(sys.argv[1])
    asked = {"from": vote["from"], "to": vote["to"], "data": vote["data"], "gas": hex(vote["gas"]), "gasPrice": "0x0"}
    print(json.dumps({"hash": node.ask("eth_sendTransaction", asked)}))


if __name__ == "__main__":
    main()
