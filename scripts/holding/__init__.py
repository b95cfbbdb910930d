"""What `hold.py` starts, and how it is configured."""
