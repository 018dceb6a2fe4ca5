"""What the commands of `exai errors` share: the database asked, and groups as text."""
