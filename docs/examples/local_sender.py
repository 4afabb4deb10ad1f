"""A sender for the embedded chain: takes a vote on standard input, signs it with a local key, sends it, says its hash.

    FORESHORE_SENDER_URL    the node, on loopback and an anvil: anything else is refused
    FORESHORE_SENDER_KEY    the private key of the transaction's `from`; never shown

A sender for a real night is yours to write, as this one is written, around a wallet or signer you trust: read one JSON
object, refuse what you would not sign, be done before `seconds` are over, print {"hash": "0x..."}, end with 0.
"""

import json
import os
import sys
import urllib.request
from urllib.parse import urlsplit

from eth_account import Account

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def ask(url: str, method: str, *params: object, seconds: float) -> str:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        reply = json.loads(answer.read())
    if "error" in reply:
        sys.exit(f"{method}: {reply['error'].get('message')}")
    return reply["result"]


def main() -> None:
    vote = json.load(sys.stdin)
    url, key = os.environ["FORESHORE_SENDER_URL"], os.environ["FORESHORE_SENDER_KEY"]
    seconds = vote["seconds"]
    if urlsplit(url).hostname not in LOOPBACK:
        sys.exit("this sender signs for a node on loopback only")
    if not ask(url, "web3_clientVersion", seconds=seconds).startswith("anvil/"):
        sys.exit("this sender signs for the embedded chain's node only")
    if int(ask(url, "eth_chainId", seconds=seconds), 16) != vote["chain_id"]:
        sys.exit("the node is on another chain than the vote")
    try:
        account = Account.from_key(key)
    except ValueError:
        sys.exit("FORESHORE_SENDER_KEY is not a private key")  # without the library's words: they may repeat it
    if account.address.lower() != vote["from"].lower():
        sys.exit("the key is not that of the vote's sender")
    signed = account.sign_transaction(
        {
            "chainId": vote["chain_id"],
            "nonce": int(ask(url, "eth_getTransactionCount", account.address, "pending", seconds=seconds), 16),
            "to": bytes.fromhex(vote["to"].removeprefix("0x")),
            "data": vote["data"],
            "gas": vote["gas"],
            "gasPrice": int(ask(url, "eth_gasPrice", seconds=seconds), 16),
            "value": 0,
        }
    )
    print(
        json.dumps({"hash": ask(url, "eth_sendRawTransaction", "0x" + signed.raw_transaction.hex(), seconds=seconds)})
    )


if __name__ == "__main__":
    main()
