"""Stand-ins that speak the wire protocols of GPU providers and of PayPal. See README.md."""
