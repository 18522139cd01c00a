"""Rules by which a sender ranks the cells that it may send; one module a rule, `base` says what one is."""
