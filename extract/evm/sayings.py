"""What providers refuse and how they say it: the table that reads their words.

Codes are not dependable (-32005 is a result limit at one provider and a rate limit at another), so text
decides first, range words before rate words, and the code only where no text is known. The table saves tries;
nothing depends on its being complete: words that are not in it are met by halving what was asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from extract.evm.errors import Kind, Refusal
from extract.evm.redact import redact


@dataclass(frozen=True)
class Rule:
    """A provider's words. The first group of `pattern`, if any, is the cap; `guesses` are caps to try without
    one.
    """

    kind: Kind
    pattern: str
    source: str
    guesses: tuple[int, ...] = ()


_N = r"([\d,._]{1,20} ?[km]?)\b"

# Order matters: what a message is about (a bill, a batch, a range) before what it merely mentions (a limit).
RULES = (
    Rule(Kind.REVERTED, r"^execution reverted", "geth; first, because what follows is the contract's own text"),
    Rule(
        Kind.GAS,
        r"^(?:(?:vm )?execution error|vm exception|evm error)?\W*(?:out ?of ?gas|precompileoog)",
        "geth; anvil; Nethermind -32015",
    ),
    Rule(
        Kind.REVERTED,
        r"^(?:vm )?execution error|^vm exception|^vm execution error"
        r"|^(?:evm error:? )?(?:invalid ?(?:fe)? ?opcode|opcode .{1,10} not defined|stack (?:under|over)flow"
        r"|stackunderflow|stackoverflow|(?:invalid|bad) jump ?(?:destination)?|invalidjump"
        r"|return ?data ?out ?of ?bounds|out of offset|bad instruction|write protection|precompileerror)",
        "geth; anvil; reth; Nethermind; OpenEthereum: what a contract without a reason ends in",
    ),
    Rule(
        Kind.QUOTA,
        r"monthly capacity|capacity limit|/billing|payment required|quota (?:reached|exceeded)",
        "Alchemy; HTTP 402",
    ),
    Rule(
        Kind.BATCH,
        rf"batch (?:is )?too large|batch.{{0,20}}limit(?: of {_N})?|too many .{{0,20}}in (?:a |the )?batch"
        rf"|batch of more than {_N}",
        "several; dRPC",
    ),
    Rule(
        Kind.ADDRESSES,
        r"specify less number of address|addresses or topics per search position",
        "several; geth",
    ),
    Rule(Kind.ADDRESSES, rf"filters.*current limit is {_N}", "ponder, getLogsRetryHelper"),
    Rule(Kind.RESULTS, rf"query returned more than {_N} results", "Infura; zkSync"),
    Rule(Kind.RESULTS, rf"query exceeds max results(?: {_N})?", "reth; llamarpc; Ankr"),
    Rule(Kind.RESULTS, rf"(?:more than|exceeds?|maximum|max) {_N} (?:logs|results)", "several"),
    Rule(Kind.RESULTS, rf"logs matched by query exceeds limit of {_N}", "Ink; OP nodes"),
    Rule(
        Kind.SIZE,
        r"log response size exceeded|response is too big|response size (?:is )?(?:exceeded|too large)"
        r"|response too large|exceeded max limit of",
        "Alchemy; reth family; Ankr",
    ),
    Rule(Kind.RANGE, rf"up to an? {_N} block range", "Alchemy free tier"),
    Rule(Kind.RANGE, rf"range [\d,]+ exceeds limit of {_N}", "INFURA/infura#237"),
    Rule(Kind.RANGE, rf"(?<!credits )limited to (?:an? )?{_N}", "QuickNode; BlockPI; 1RPC; Blast"),
    Rule(Kind.RANGE, rf"ranges? over {_N} blocks", "dRPC free tier"),
    Rule(Kind.RANGE, rf"max(?:imum)? (?:allowed )?block range(?: is|:)? ?{_N}", "PublicNode; reth"),
    Rule(Kind.RANGE, rf"range is too large, max is {_N}", "Merkle; llama BSC"),
    Rule(Kind.RANGE, rf"requested too many blocks.{{0,80}}maximum is set to {_N}", "Avalanche; Flare"),
    Rule(Kind.RANGE, rf"block range greater than {_N}", "Optimism public"),
    Rule(Kind.RANGE, rf"bigger than range limit {_N}", "Tenderly"),
    Rule(Kind.RANGE, rf"range allowed for your plan \([\d,]+ > {_N}\)", "BlockPI; Blast"),
    Rule(Kind.RANGE, rf"max range: {_N}", "Cloudflare"),
    Rule(Kind.RANGE, rf"requested blocks is {_N}", "thirdweb"),
    Rule(Kind.RANGE, rf"at most {_N} blocks", "Coinbase"),
    Rule(Kind.RANGE, rf"too wide \(max(?:imum)? {_N}\)", "Moonriver"),
    Rule(Kind.RANGE, r"block range is too wide", "Ankr", (3_000,)),
    Rule(Kind.RANGE, r"block range limit exceeded", "Chainstack", (10_000, 100)),
    Rule(Kind.RANGE, r"block range too large", "Base public endpoint", (2_000,)),
    Rule(
        Kind.RANGE,
        r"block range exceeds|range (?:is )?too (?:large|wide|big)"
        r"|exceed(?:s|ed)? (?:the )?(?:maximum |max )?(?:block )?range",
        "Polygon public; several",
    ),
    Rule(
        Kind.LAGGING,
        r"extends beyond current head|cannot be found|could not find block|unknown block|block not found"
        r"|after last accepted block|header for hash not found",
        "several; OP nodes; Avalanche",
    ),
    Rule(
        Kind.NO_ARCHIVE,
        r"missing trie node|header not found|historical state|no historical rpc|no state available"
        r"|state (?:is )?not available|pruned|archive (?:node|access|data)|layer stale|fully indexed yet",
        "geth; erigon; several",
    ),
    Rule(
        Kind.TIME,
        r"query timeout|context deadline exceeded|execution (?:timeout|aborted)|timed? ?out|took too long",
        "several",
    ),
    Rule(Kind.TIME, r"no backends? (?:is |are )?(?:currently )?(?:healthy|available)", "Base public endpoint; several"),
    Rule(Kind.SERVER, r"temporar(?:y|ily) (?:internal error|unavailable)|service unavailable", "Alchemy; several"),
    Rule(
        Kind.RATE,
        r"compute units|credits limited|rate.?limit|request limit|too many requests|limit exceeded"
        r"|requests per second|throttl",
        "Alchemy; QuickNode; BSC dataseed; several",
    ),
    Rule(
        Kind.GAS,
        r"out of gas|outofgas|gas required exceeds|exceeds? (?:the )?block gas limit|gas limit",
        "geth; anvil",
    ),
)

CODES = {
    3: Kind.REVERTED,  # execution-apis
    15: Kind.RATE,
    35: Kind.RANGE,  # dRPC
    -32601: Kind.UNSUPPORTED,  # JSON-RPC 2.0: method not found
    -32015: Kind.REVERTED,  # "VM execution error." of OpenEthereum and Nethermind; out of gas was caught by its text
    -32016: Kind.REVERTED,  # "The execution failed due to an exception."
    -32005: Kind.RATE,  # EIP-1474 "limit exceeded"; result limits of the same code were caught by their text
    -32012: Kind.RATE,  # QuickNode credits
    -32029: Kind.RATE,
    -32614: Kind.RANGE,  # QuickNode
}

STATUSES = {401: Kind.QUOTA, 402: Kind.QUOTA, 403: Kind.QUOTA, 429: Kind.RATE}
BATCH_STATUSES = frozenset({405, 413, 422, 501})  # seen where a provider takes no batch, or no batch of that size

_FLAGS = re.IGNORECASE | re.ASCII
_COMPILED = tuple((rule, re.compile(rule.pattern, _FLAGS)) for rule in RULES)
_HEX_RANGE = re.compile(r"\[\s*(0x[0-9a-f]{1,15})\s*,\s*(0x[0-9a-f]{1,15})\s*\]", _FLAGS)
_DECIMAL_RANGE = re.compile(r"(?:range|blocks?) \[?(\d{1,15}) ?(?:-|to|,) ?(\d{1,15})\b", _FLAGS)
_DATA_RANGE = re.compile(r'"from"\s*:\s*"(0x[0-9a-f]{1,15})".*"to"\s*:\s*"(0x[0-9a-f]{1,15})"', _FLAGS | re.DOTALL)
_OUT_OF_RANGE = re.compile(r"block height is (\d{1,15}) but requested was (\d{1,15})\b", _FLAGS)
_LONGEST_MESSAGE = 300
_READ_SO_FAR = 2_000  # characters of a message or of its data: what a provider means comes first


def classify(
    message: str, code: int | None = None, status: int = 200, data: str = "", asked_blocks: int | None = None
) -> Refusal:
    """What a provider means. `data` is the error's data as JSON text; `asked_blocks` picks among guessed
    caps.
    """
    message = message[:_READ_SO_FAR]
    text = f"{message} {data[:_READ_SO_FAR]}"
    refusal = Refusal(_kind_of_code(code, status), redact(message)[:_LONGEST_MESSAGE], data=data)
    height = _OUT_OF_RANGE.search(text)  # anvil has one text for a block above head and for a state it let go
    if height:
        above = int(height[2]) > int(height[1])
        return replace(refusal, kind=Kind.LAGGING if above else Kind.NO_ARCHIVE)
    for rule, pattern in _COMPILED:
        match = pattern.search(text)
        if match:
            words = next((group for group in match.groups() if group), None)
            cap = _number(words) if words else _guess(rule, asked_blocks)
            return replace(refusal, kind=rule.kind, cap=cap, suggested=_suggestion(text))
    return refusal


def _kind_of_code(code: int | None, status: int) -> Kind:
    if status in STATUSES:
        return STATUSES[status]
    if code is not None and code in CODES:
        return CODES[code]
    return Kind.SERVER if status >= 500 else Kind.OTHER


def _guess(rule: Rule, asked_blocks: int | None) -> int | None:
    return next((guess for guess in rule.guesses if asked_blocks is None or guess < asked_blocks), None)


def _number(text: str) -> int | None:
    """10000, 10,000, 1k, 2K: as providers write them."""
    digits = re.sub(r"[^0-9]", "", text)[:15]
    factor = {"k": 1_000, "m": 1_000_000}.get(text.strip()[-1:].lower(), 1)
    return int(digits) * factor if digits else None


def _suggestion(text: str) -> tuple[int, int] | None:
    """A block range that the provider says would work."""
    match = _HEX_RANGE.search(text) or _DATA_RANGE.search(text)
    if match:
        return int(match[1], 16), int(match[2], 16)
    match = _DECIMAL_RANGE.search(text)
    return (int(match[1]), int(match[2])) if match else None
