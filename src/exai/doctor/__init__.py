"""What `exai doctor` looks at: everything that EXAI stands on, without changing any of it."""
