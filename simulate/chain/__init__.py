"""What every embedded chain stands on: the node, the chain under our hand, the proxy that plays a provider."""
