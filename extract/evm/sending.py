"""What a sent transaction costs and what became of it: gas price, balance, receipt."""

from __future__ import annotations

import re

import msgspec

from extract.evm.errors import DecodeError
from extract.evm.quantity import excerpt, quantity
from extract.evm.transport import RpcCall

_WEI = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)  # an amount fills a word of the EVM


class _Receipt(msgspec.Struct, rename="camel"):
    block_number: str
    status: str = ""


def gas_price_call() -> RpcCall:
    """The node's price of a unit of gas, in wei."""
    return RpcCall("eth_gasPrice", [], str, lambda text: _wei(text, "the gas price"))


def balance_call(address: str, block: int) -> RpcCall:
    """What an account holds at a block, in wei."""
    return RpcCall("eth_getBalance", [address, hex(block)], str, lambda text: _wei(text, "a balance"))


def receipt_call(transaction_hash: str) -> RpcCall:
    """(block, whether it succeeded) of a transaction; None while it is in no block."""
    return RpcCall("eth_getTransactionReceipt", [transaction_hash], _Receipt | None, _landing)


def _landing(receipt: _Receipt | None) -> tuple[int, bool] | None:
    if receipt is None:
        return None
    return quantity(receipt.block_number, "the block of a receipt"), bool(
        quantity(receipt.status, "a receipt's status")
    )


def _wei(text: str, what: str) -> int:
    if not _WEI.fullmatch(text):
        raise DecodeError(f"{what} is {excerpt(text)}, which is no hex quantity")
    return int(text, 16)
