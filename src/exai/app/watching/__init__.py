"""Builds what watches EXAI itself."""
