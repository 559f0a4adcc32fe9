"""USDC on EVM chains: wallets are linked, deposits followed to finality, withdrawals signed and sent."""
