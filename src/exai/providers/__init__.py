"""Adapters of providers, and the facts about their models."""
