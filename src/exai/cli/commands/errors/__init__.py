"""The commands of `exai errors`, a module each."""
