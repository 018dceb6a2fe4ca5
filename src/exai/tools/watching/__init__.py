"""Tools that tell what EXAI sees of itself."""
