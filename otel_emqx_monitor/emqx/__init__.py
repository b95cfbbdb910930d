"""Everything that talks to EMQX: its REST API in, polls or typed errors out."""
