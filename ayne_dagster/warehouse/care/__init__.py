"""What people do with a database as a whole: check, mend, thin out, purge, export, take a snapshot."""
