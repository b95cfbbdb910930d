"""What EMQX tells by itself as it happens: the ways in, and the queue that bounds them."""
