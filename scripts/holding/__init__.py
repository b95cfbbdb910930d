"""What `hold.py` and the soak start, and how it is configured."""
