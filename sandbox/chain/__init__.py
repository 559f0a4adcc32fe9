"""The chain of the sandbox: anvil with a six-decimals token and a faucet."""
