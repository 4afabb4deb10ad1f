"""The boundary night: handing a decided vote to a sender, and remembering every attempt."""
