"""`exai doctor`: checks of everything that EXAI depends on; they change nothing."""
