"""The port on which programs report errors: Sentry SDKs, OpenTelemetry, and a form of our own."""
