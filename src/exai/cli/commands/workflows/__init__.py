"""The commands of `exai workflows`, a module each."""
