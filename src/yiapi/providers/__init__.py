"""What each vendor is asked and answers: one declaration per vendor, and the contract they are written in."""
