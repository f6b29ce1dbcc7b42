"""Methods that configuration entries name: the table of names, their fields and ranges, and building them."""
