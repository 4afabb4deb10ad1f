// SPDX-License-Identifier: MIT
pragma solidity 0.8.19;

import {ERC20Mock} from "@morpho-org/morpho-blue/src/mocks/ERC20Mock.sol";

/// A token that says how it is scaled; Morpho's own mock does not.
contract Token is ERC20Mock {
    string public symbol;
    uint8 public immutable decimals;

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }
}
