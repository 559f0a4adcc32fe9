"""Earnings of owners and operators, and how they are paid out."""
