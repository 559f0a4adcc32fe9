"""A stand-in for Stripe: cards, intents, refunds, subscriptions, invoices, disputes, Connect, test clocks."""
