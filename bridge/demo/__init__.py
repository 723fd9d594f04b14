"""The demo: an embedded mongod, a small shop that writes into it, and a page that follows."""
