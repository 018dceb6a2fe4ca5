"""What tests share: daemons, doors, twins and servers."""
