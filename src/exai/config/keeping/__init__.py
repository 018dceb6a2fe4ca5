"""Settings of where EXAI keeps what it keeps, and who shares it."""
