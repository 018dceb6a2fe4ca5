"""Tables of conversations: exchanges and token calibrations."""
