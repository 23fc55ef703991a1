"""What to try, under a budget, on one machine or many."""
