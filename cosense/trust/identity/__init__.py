"""Who a message is from: an Ed25519 key for each agent, a roster that says whose it is, and what came before.

keys.py has the key files, roster.py who may speak under which name and when, replay.py the numbers and stamps
of each key, and membership.py judges a message by all of them as it comes, before anything is kept of it.
`cosense.messages.signatures` says which bytes are signed; docs/security.md what this protects and what not.
"""
