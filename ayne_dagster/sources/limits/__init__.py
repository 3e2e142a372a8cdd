"""What an account may ask, and when: quota, pace, pauses, and the ledger that all processes share."""
