"""Which tools are used, by whom and how, and which of them the list could do without."""
