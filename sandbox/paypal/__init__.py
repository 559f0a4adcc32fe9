"""PayPal: tokens, orders, an approve page, captures, refunds, signed webhooks. No real money."""
