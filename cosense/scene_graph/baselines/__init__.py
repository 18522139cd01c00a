"""What registration by scene graphs is compared with; all of them need a prior."""
