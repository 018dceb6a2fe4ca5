"""The commands of `exai files`, a module for each; `group` has the table of them."""
