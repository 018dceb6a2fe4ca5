"""What an operator does from the dashboard: each control needs the scope `operate`, and says what it did."""
