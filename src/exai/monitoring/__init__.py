"""What is measured: metrics, the loop's own lag, the health of providers. Watches the bus, touches no request."""
