"""The auditor: watches how EXAI itself behaves, by rules over numbers of its events, without a model."""
